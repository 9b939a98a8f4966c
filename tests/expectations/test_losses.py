"""A rise of the champion's loss: found within a language and domain, one-sided, by units."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations.losses import FEWEST, Losses, LossRise, loss_test
from headrace.expectations.two_sample import Outcome, adjusted

LEVEL = {"zh legal": 1.8, "en legal": 2.2, "zh medical": 3.0}
"""Bits per byte of the kinds of text."""


def scored(kinds: list[str], seed: int, rise: float = 0.0) -> pa.Table:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(200, 1500, len(kinds))
    rate = np.array([LEVEL[k] for k in kinds]) + rise + draw.normal(0, 0.3, len(kinds))
    lang, domain = zip(*(k.split() for k in kinds), strict=True)
    columns: dict[str, Any] = {
        "lang": lang, "domain": domain, "bits": rate * sizes, "bytes": sizes.astype(np.int64),
    }  # fmt: skip
    return pa.table(columns)


def outcome_of(
    heldout: pa.Table, window: pa.Table, units: np.ndarray | None = None, seed: int = 0
) -> tuple[float, LossRise]:
    units = np.arange(window.num_rows) if units is None else units
    outcome, rise = loss_test(Losses(heldout, window), units.astype(np.int32), 199, seed)
    assert isinstance(outcome, Outcome)
    return adjusted([outcome])[0], rise


HELD = scored(["zh legal"] * 60 + ["en legal"] * 60, 1)


def test_a_rise_is_measured_and_found() -> None:
    p, rise = outcome_of(HELD, scored(["zh legal"] * 40 + ["en legal"] * 40, 2, 0.3))
    assert p == 1 / 200 and rise.rise == pytest.approx(0.3, abs=0.12)
    assert [s.name for s in rise.strata] == ["en legal", "zh legal"]
    assert [s.window_documents for s in rise.strata] == [40, 40]


def test_text_that_is_read_better_is_no_drift() -> None:
    p, rise = outcome_of(HELD, scored(["zh legal"] * 80, 3, -0.5))
    assert p > 0.5 and rise.rise < 0


def test_another_mix_of_what_is_known_is_no_rise() -> None:
    """The held-out text is half English, which is harder; a window of it alone is no worse."""
    outcomes = [outcome_of(HELD, scored(["en legal"] * 80, 4 + i), seed=i)[0] for i in range(20)]
    assert sum(p <= 0.05 for p in outcomes) <= 4


def test_a_domain_without_held_out_text_is_compared_with_its_language() -> None:
    held = scored(["zh legal"] * 60 + ["en legal"] * 60, 5)
    p, rise = outcome_of(held, scored(["zh medical"] * 40, 6))
    assert [s.name for s in rise.strata] == ["zh"] and p == 1 / 200
    assert rise.strata[0].heldout_documents == 60
    enough = scored(["zh legal"] * 60 + ["zh medical"] * FEWEST, 7)
    p, rise = outcome_of(enough, scored(["zh medical"] * 40, 8))
    assert [s.name for s in rise.strata] == ["zh medical"] and p > 0.01


def test_domains_of_little_held_out_text_are_compared_with_each_other() -> None:
    """A rare domain that is harder than its language is no rise where the mix is the same."""
    few = ["zh medical"] * (FEWEST - 1)
    held = scored(["zh legal"] * 60 + few, 5)
    p, rise = outcome_of(held, scored(["zh legal"] * 60 + few, 6))
    assert [(s.name, s.heldout_documents) for s in rise.strata] == [
        ("zh", len(few)), ("zh legal", 60),
    ]  # fmt: skip
    assert p > 0.05


def test_a_language_without_held_out_text_is_compared_with_all() -> None:
    p, rise = outcome_of(scored(["en legal"] * 60, 9), scored(["zh legal"] * 30, 10))
    assert [s.name for s in rise.strata] == ["all text"] and p > 0.5


def test_a_run_of_documents_counts_once() -> None:
    """One of three runs of 20 is hard: the documents say p = 1/200, the runs can't."""
    window = scored(["zh legal"] * 60, 12)
    lift = np.repeat([0.7, 0.0, 0.0], 20) * window["bytes"].to_numpy()
    window = window.set_column(2, "bits", pa.array(window["bits"].to_numpy() + lift))
    alone, _ = outcome_of(HELD, window)
    runs, _ = outcome_of(HELD, window, np.repeat(np.arange(3), 20))
    assert alone == 1 / 200 and runs > 0.02


def test_the_level_is_kept() -> None:
    """200 windows without a rise: 5 % of them at p <= .05, at most 20 at four deviations."""
    seen = [
        outcome_of(scored(["zh legal"] * 40, 500 + i), scored(["zh legal"] * 30, 900 + i), seed=i)[
            0
        ]
        for i in range(200)
    ]
    assert sum(p <= 0.05 for p in seen) <= 22
