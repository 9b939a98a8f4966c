"""The interval of a gain over paired items."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.training.rlhf.gain import Gain, paired, paired_ratio


def test_paired_interval_holds_the_gain_and_narrows_with_pairing() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=300)
    before, after = hard, hard + 0.2 + rng.normal(size=300) * 0.1
    got = paired(before, after, 1)
    assert got.low < got.value < got.high
    assert got.value == pytest.approx((after - before).mean())
    assert got.high - got.low < 0.05
    apart = paired(before, rng.permutation(after), 1)
    assert apart.high - apart.low > 4 * (got.high - got.low)


def test_paired_ratio_weighs_by_size() -> None:
    before, after, size = np.array([4.0, 10.0]), np.array([3.0, 4.0]), np.array([1.0, 9.0])
    got = paired_ratio(before, after, size, 1)
    assert got == Gain(got.value, None, None), "two have no interval"
    assert got.value == pytest.approx(0.7)
    more = paired_ratio(np.tile(before, 20), np.tile(after, 20), np.tile(size, 20), 1)
    assert more.value == pytest.approx(0.7) and 6 / 9 < more.low < 0.7 < more.high < 1
