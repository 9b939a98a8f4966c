"""Intervals at any number of documents: their level, their tails, and that p says the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.training.scoring import interval
from headrace.training.scoring.interval import Floats, Interval, detectable, holm

FEW = {"confidence": 0.95, "flips": 1000, "seed": 1}


def of(values: Any, weights: Any = None, **changes: Any) -> Interval:
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    return interval.ratio(values, weights, **{**FEW, **changes})


Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
SAMPLES = 1000


@pytest.mark.parametrize("n", [5, 8, 12, 20, 30, 200])
def test_a_model_that_is_not_better_is_called_better_in_at_most_3_percent(
    n: int, zero_mean: dict[str, Draw]
) -> None:
    """Nominally 2.5 %. Weights make it harder; `tests/benchmarks/test_gate.py` has equal ones too,
    more samples, and what other methods give.
    """
    for name, draw in zero_mean.items():
        dice = np.random.default_rng(n)
        values, weights = draw(dice, (SAMPLES, n)), dice.uniform(200, 1500, (SAMPLES, n))
        found = [of(v * w, w, flips=200) for v, w in zip(values, weights, strict=True)]
        assert np.mean([x.low > 0 for x in found]) <= 0.03, name
        assert all((x.low > 0) == (x.p_above(0) <= 0.025) for x in found)


@pytest.mark.parametrize("n", [8, 30, 200])
def test_a_loss_of_the_margin_is_called_not_worse_in_at_most_3_percent(
    n: int, zero_mean: dict[str, Draw]
) -> None:
    """The true loss is the margin of 0.5, so that "not worse than 0.5" is false."""
    for name in ("t, 2 degrees of freedom", "log-normal, shape 1"):
        values = zero_mean[name](np.random.default_rng(n), (SAMPLES, n))
        found = [of(v - 0.5, flips=200) for v in values]
        assert np.mean([x.low >= -0.5 for x in found]) <= 0.03, name
        assert all((x.low > -0.5) == (x.p_above(-0.5) <= 0.025) for x in found)


def test_normal_differences_cost_little_more_than_students_t() -> None:
    """What isn't skewed pays for the skewed populations only where documents are few."""
    dice = np.random.default_rng(4)
    for n, most in ((20, 2.2), (30, 1.6), (60, 1.2), (200, 1.1)):
        wider = []
        for _ in range(40):
            x = of(dice.normal(size=n))
            wider.append((x.value - x.low) / x.se / 1.96)
        assert np.median(wider) < most, n


def flipped(values: Floats, bound: float) -> float:
    """p of all sign flips, counted one by one."""
    rest = values - bound
    signs = itertools.product((1.0, -1.0), repeat=len(rest))
    as_far = [np.dot(s, rest) >= rest.sum() - 1e-9 for s in signs]
    return float(np.mean(as_far))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-3, 3, width=16), min_size=2, max_size=9),
    st.floats(-2, 2),
)
def test_p_is_at_least_that_of_all_sign_flips(values: list[float], bound: float) -> None:
    x = of(values)
    # A hair's breadth away, so that rounding decides no tie.
    assert x.p_above(bound) >= flipped(np.array(values), bound - 1e-6) - 1e-12
    assert x.p_below(bound) >= flipped(-np.array(values), -bound - 1e-6) - 1e-12


def test_pairs_that_agree_have_the_p_of_the_sign_flips() -> None:
    """Studentized they would look surer than 1 of 64 flips."""
    assert of([1.0, 1.01, 0.99, 1.0, 1.02, 0.98]).p_above(0.0) == pytest.approx(1 / 64)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.floats(-3, 3, width=16), st.integers(1, 2000)), min_size=2, max_size=40),
    st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_the_interval_is_where_p_is_above_the_level(
    pairs: list[tuple[float, int]], bounds: list[float], confidence: float
) -> None:
    weights = np.array([w for _, w in pairs], dtype=np.float64)
    x = of(np.array([v for v, _ in pairs]) * weights, weights, confidence=confidence)
    level = (1 - confidence) / 2
    p = [x.p_above(b) for b in sorted(bounds)]
    assert p == sorted(p), "the higher the bound, the harder to be above it"
    for b in bounds:
        if abs(b - x.low) > 1e-9:
            assert (x.p_above(b) <= level) == (b < x.low)
        if abs(b - x.high) > 1e-9:
            assert (x.p_below(b) <= level) == (b > x.high)
    assert x.low <= x.value + 1e-9 and x.value - 1e-9 <= x.high


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-3, 3, width=16), min_size=2, max_size=30),
    st.floats(0.5, 20),
    st.floats(-5, 5),
)
def test_units_and_direction_change_nothing_but_the_figures(
    values: list[float], scale: float, shift: float
) -> None:
    one = of(values)
    other = of(np.array(values) * scale + shift)
    turned = of(-np.array(values))
    assert (other.low, other.high) == pytest.approx(
        (one.low * scale + shift, one.high * scale + shift), rel=1e-6, abs=1e-6
    )
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low), rel=1e-6, abs=1e-6)


def test_five_documents_can_show_nothing_and_six_that_agree_can() -> None:
    five, six = of([1.0, 1.01, 0.99, 1.0, 1.02]), of([1.0, 1.01, 0.99, 1.0, 1.02, 1.0])
    assert not five.bounded and five.ends() == (None, None) and five.p_above(0) >= 1 / 32
    assert six.bounded and 0.9 < six.low < six.value < six.high
    assert of([1.0] * 5, confidence=0.9).bounded, "1 of 32 is below 5 %"


def test_the_same_answer_every_time() -> None:
    values = np.random.default_rng(0).normal(size=40)
    one, again = of(values), of(values)
    assert (one.low, one.high, one.p_above(0.1)) == (again.low, again.high, again.p_above(0.1))
    interval._shapes.cache_clear()
    assert of(values).low == one.low
    assert abs(of(values, seed=2, flips=8000).low - of(values, seed=3, flips=8000).low) < 0.05


def test_the_figure_is_a_ratio_of_sums() -> None:
    x = of([4.0, 10.0, 4.0, 10.0, 4.0, 10.0], [1.0, 9.0] * 3)
    assert x.value == pytest.approx(1.4) and x.n == 6


def test_no_documents_or_no_numbers_have_no_interval() -> None:
    for x in (of([]), of([1.0, math.nan]), of([1.0, math.inf]), of([1.0], [0.0])):
        assert math.isnan(x.value) and x.ends() == (None, None) and x.p_above(0) == 1.0
    one = of([2.0])
    assert one.value == 2.0 and not one.bounded and one.p_above(0) == 1.0 == one.p_below(9)


def test_documents_that_all_differ_by_the_same_have_no_spread() -> None:
    x = of(np.full(20, 0.3) * np.arange(1, 21), np.arange(1, 21))
    assert (x.low, x.value, x.high) == pytest.approx((0.3, 0.3, 0.3)) and x.p_above(0.2) < 0.01
    same = of(np.zeros(20))
    assert (same.low, same.high) == (0, 0) and same.p_above(0) > 0.4 < same.p_below(0)


def test_of_evaluations_that_could_show_a_difference_about_four_in_five_do() -> None:
    dice = np.random.default_rng(8)

    def least(values: Floats) -> tuple[float, float]:
        return detectable(values, np.ones(len(values)), confidence=0.95, share=0.8, seed=1)

    for n in (20, 60, 200):
        rises, falls = zip(*(least(dice.normal(0.3, 1, n)) for _ in range(60)), strict=True)
        for rise, fall in ((np.mean(rises), 0), (0, np.mean(falls))):
            moved = [of(dice.normal(rise - fall, 1, n)) for _ in range(300)]
            shown = [x.low > 0 if rise else x.high < 0 for x in moved]
            assert 0.65 < np.mean(shown) < 0.9, (n, rise, fall)
    assert least(np.ones(5)) == (math.inf, math.inf), "no interval, however alike they are"
    assert least(np.full(30, 0.2)) == pytest.approx((0, 0))


def test_holm_adjusts_for_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_intervals_of_one_model_cover_the_truth() -> None:
    """300 samples each whose true rate is 2 bits per byte, also of very few documents."""
    dice = np.random.default_rng(5)
    for n in (6, 8, 20, 60):
        inside = 0
        for _ in range(300):
            sizes = dice.integers(100, 2000, n).astype(float)
            x = of(sizes * dice.normal(2.0, 0.3, n), sizes)
            inside += x.low <= 2.0 <= x.high
        assert inside / 300 >= 0.93, n
