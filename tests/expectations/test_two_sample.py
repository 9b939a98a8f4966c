"""The tests against plain Python, and their level under permutation."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from headrace.expectations import two_sample
from headrace.expectations.two_sample import Outcome, adjusted, blocks, permuted_labels, units_of

LABELS = permuted_labels(30, 12, 60, seed=4)
SINGLE = units_of(np.arange(30, dtype=np.int32), np.arange(12, dtype=np.int32), 60, seed=4)
"""42 documents that stand for themselves."""


def test_labels_are_permutations_of_the_truth() -> None:
    assert LABELS[0].tolist() == [0] * 30 + [1] * 12
    assert (LABELS.sum(axis=1) == 12).all()
    assert len({row.tobytes() for row in LABELS}) == 61
    assert np.array_equal(LABELS, permuted_labels(30, 12, 60, seed=4))


def test_documents_by_themselves_are_units_of_one() -> None:
    assert np.array_equal(SINGLE.labels, LABELS) and (SINGLE.weight == 1).all()
    assert np.array_equal(SINGLE.of, np.arange(42)) and SINGLE.side.sum() == 12


@given(st.integers(1, 300), st.floats(1, 400))
def test_blocks_are_consecutive_and_about_as_long_as_asked(documents: int, length: float) -> None:
    of = blocks(documents, length)
    assert of[0] == 0 and set(np.diff(of)) <= {0, 1}
    sizes = np.bincount(of)
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == max(1, round(documents / length))


def test_a_unit_counts_once_however_many_documents_it_has() -> None:
    """Copying every document of the window five times, as one unit each, changes no test."""
    draw = np.random.default_rng(6)
    codes, values = draw.integers(0, 3, 42).astype(np.int32), draw.normal(size=42)
    points = draw.normal(size=(42, 3))
    points -= points.mean(axis=0)
    copied = np.r_[np.arange(30), np.repeat(np.arange(30, 42), 5)]
    runs = units_of(
        np.arange(30, dtype=np.int32), np.repeat(np.arange(12, dtype=np.int32), 5), 60, seed=4
    )
    assert runs.weight.sum() == pytest.approx(42)
    tests: tuple[tuple[Callable[..., Outcome], Any], ...] = (
        (two_sample.categories, codes),
        (two_sample.numbers, values),
        (two_sample.directions, points),
    )
    for test, of in tests:
        one, many = test("x", SINGLE, of), test("x", runs, of[copied])
        assert np.allclose(one.statistic, many.statistic)
        assert np.allclose(one.distance, many.distance)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, float("nan")]), min_size=42, max_size=42))
def test_numbers_against_scipy(values: list[float]) -> None:
    x = np.array(values)
    known = ~np.isnan(x)
    sides = [x[known & (LABELS[0] == side)] for side in (0, 1)]
    outcome = two_sample.numbers("x", SINGLE, x)
    if min(map(len, sides)) == 0:
        assert outcome.statistic[0] == 0
    else:
        assert outcome.statistic[0] == pytest.approx(ks_2samp(*sides).statistic)


def test_categories_by_hand() -> None:
    codes = np.arange(42, dtype=np.int32) % 3
    outcome = two_sample.categories("c", SINGLE, codes)
    for b in (0, 7):
        window = Counter(codes[LABELS[b] == 1].tolist())
        rest = Counter(codes[LABELS[b] == 0].tolist())
        gaps = [window[c] / 12 - rest[c] / 30 for c in range(3)]
        assert outcome.distance[b] == pytest.approx(sum(map(abs, gaps)) / 2)
        chi = sum(g * g / (14 / 42) for g in gaps)
        assert outcome.statistic[b] == pytest.approx(chi**0.5)


def test_neighbors_by_hand() -> None:
    draw = np.random.default_rng(1)
    near = np.array([draw.permutation(42)[:4] for _ in range(42)], np.int32)
    outcome = two_sample.neighbors("n", SINGLE, near)
    side = LABELS[3]
    same = side[near] == side[:, None]
    by_hand = same[side == 1].mean() + same[side == 0].mean()
    assert outcome.statistic[3] == pytest.approx(by_hand)
    share = side[near].mean(axis=1)
    gaps = [
        (share[side == 1] > s).mean() - (share[side == 0] > s).mean() for s in (0, 0.25, 0.5, 0.75)
    ]
    assert outcome.distance[3] == pytest.approx(max(0.0, *gaps))


def test_directions_by_hand() -> None:
    points = np.random.default_rng(2).normal(size=(42, 3))
    outcome = two_sample.directions("d", SINGLE, points)
    side = LABELS[5] == 1
    gap = points[side].mean(axis=0) - points[~side].mean(axis=0)
    assert outcome.statistic[5] == pytest.approx(np.linalg.norm(gap) * 12 * 30 / 42)
    score = points @ gap
    assert outcome.distance[5] == pytest.approx(ks_2samp(score[side], score[~side]).statistic)


def test_effect_is_what_is_beyond_chance() -> None:
    assert Outcome("x", np.zeros(3), np.array([0.5, 0.3, 0.3])).effect == pytest.approx(0.4)
    assert Outcome("x", np.zeros(3), np.array([0.2, 0.3, 0.3])).effect == 0.0


def test_p_values_are_of_the_whole_family() -> None:
    """One clear test among noise: its p-value is the smallest there is, the others stay large."""
    draw = np.random.default_rng(3)
    noise = [Outcome(str(i), draw.normal(size=200), np.zeros(1)) for i in range(5)]
    clear = draw.normal(size=200)
    clear[0] = 50.0
    p = adjusted([*noise, Outcome("clear", clear, np.zeros(1))])
    assert p[-1] == 1 / 200
    assert all(x > 0.02 for x in p[:-1])
    flat = Outcome("flat", np.ones(200), np.zeros(1))
    assert adjusted([flat])[0] == 1.0


def test_level_of_the_family_is_exact() -> None:
    """Under exchangeability P(smallest p <= 0.1) is at most 0.1: 400 draws, bound at 4 sigma."""
    draw = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        shared = draw.normal(size=100)
        tests = [Outcome(str(i), shared + draw.normal(size=100), np.zeros(1)) for i in range(4)]
        hits += min(adjusted(tests)) <= 0.1
    assert 0.04 * 400 < hits < 0.16 * 400
