"""The tests of a comparison: what each compares, and how large an effect raises an alert.

Each column that both sides have is tested (columns.py). What no column shows is a test here: a
function from `Sides` to an `Outcome` in its own file, and an entry in `DRIFT_TESTS`, from which the
verdict, the report and the smallest effect that counts follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from headrace.expectations import two_sample
from headrace.expectations.losses import LOSS
from headrace.expectations.settings import DriftSettings
from headrace.expectations.two_sample import Floats, Ints, Outcome, Units

Unit = Literal["share of the window", "bits per byte"]
NEIGHBOURS, DIRECTIONS = "text.neighbours", "text.directions"


@dataclass(frozen=True)
class Sides:
    """The documents that are compared, in the order of their units, the reference's first."""

    units: Units
    reference: pa.Table
    window: pa.Table
    near: Ints
    """(N, k) the nearest neighbors of each document."""
    leading: Floats
    """(N, d) coordinates along the leading directions of all texts."""
    loss: Outcome | None
    """Outcome of the test of the champion's loss, None where it was not measured."""


@dataclass(frozen=True)
class DriftTest:
    """A test that every comparison makes."""

    name: str
    title: str
    """What it compares, for the report."""
    outcome: Callable[[Sides], Outcome | None]
    """The test; None where it doesn't apply."""
    effect_in: Unit = "share of the window"
    """What the effect is measured in, which decides the smallest one that raises an alert."""


DRIFT_TESTS = (
    DriftTest(
        NEIGHBOURS,
        "text: documents whose nearest neighbors are of their own side",
        lambda sides: two_sample.neighbors(NEIGHBOURS, sides.units, sides.near),
    ),
    DriftTest(
        DIRECTIONS,
        "text: the leading directions of all texts",
        lambda sides: two_sample.directions(DIRECTIONS, sides.units, sides.leading),
    ),
    DriftTest(
        LOSS,
        "the champion's loss, in bits per byte",
        lambda sides: sides.loss,
        effect_in="bits per byte",
    ),
)


def outcomes(sides: Sides) -> list[Outcome]:
    """Return the outcomes of the tests that apply, in order."""
    each = (test.outcome(sides) for test in DRIFT_TESTS)
    return [outcome for outcome in each if outcome is not None]


def titles() -> dict[str, str]:
    """Return what each test compares, by name."""
    return {test.name: test.title for test in DRIFT_TESTS}


def names(effect_in: Unit) -> set[str]:
    """Names of the tests whose effect is measured in a unit."""
    return {test.name for test in DRIFT_TESTS if test.effect_in == effect_in}


def least_effect(name: str, settings: DriftSettings) -> float:
    """Return the smallest effect of a test, or of a column's test, that raises an alert."""
    in_bits = name in names("bits per byte")
    return settings.minimum_loss_rise if in_bits else settings.minimum_effect
