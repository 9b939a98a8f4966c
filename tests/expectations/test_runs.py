"""Runs are as long as they were drawn, and none are seen where there are none."""

import numpy as np
import pytest

from headrace.expectations.runs import run_length


def drawn(lengths: list[int], seed: int, strength: float = 1.0) -> np.ndarray:
    """Documents in runs about a common point each, `strength` times as far apart as within one."""
    draw = np.random.default_rng(seed)
    centers = strength * draw.normal(size=(len(lengths), 16))
    return np.repeat(centers, lengths, axis=0) + draw.normal(size=(sum(lengths), 16))


def test_documents_drawn_one_by_one_make_no_runs() -> None:
    """At most one of a hundred by chance; two of 60 have a chance of one in eight."""
    seen = [run_length([drawn([1] * 200, seed)], seed) for seed in range(60)]
    assert sum(length > 1 for length in seen) <= 2


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("length", [2, 5, 20, 50])
def test_runs_are_about_as_long_as_they_are(length: int, strength: float) -> None:
    seen = [
        run_length([drawn([length] * (200 // length), seed, strength)], seed) for seed in range(9)
    ]
    assert 0.6 * length <= np.median(seen) <= 2.5 * length + 1, seen


def test_runs_of_varying_length_count_by_their_documents() -> None:
    """Most documents are in runs longer than the mean run: about twice, for geometric lengths."""
    draw = np.random.default_rng(0)
    seen = [run_length([drawn(list(draw.geometric(0.1, 20)), seed)], seed) for seed in range(9)]
    assert 10 <= np.median(seen) <= 45


def test_one_channel_is_enough() -> None:
    noise = np.random.default_rng(1).normal(size=(200, 8))
    assert run_length([noise, drawn([10] * 20, 2)], 0) > 5
    assert run_length([noise, np.zeros((200, 1))], 0) == 1


@pytest.mark.parametrize("n", [0, 1, 7, 15])
def test_of_few_documents_nothing_can_be_said(n: int) -> None:
    assert run_length([np.zeros((n, 3))], 0) == 1


def test_no_longer_than_asked() -> None:
    assert run_length([drawn([50] * 4, 1)], 0, most=12.5) == 12.5
