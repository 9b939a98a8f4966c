"""What a level declares of itself: its name, the columns that it fills, the reasons it rejects by.

The columns of a release, its report, its expectations and the drift test follow from this; a level
itself lies above (`spark_jobs.levels`) and is handed down as these facts. Importing this is quick,
so that settings can be read before anything slow is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

DUPLICATE, CONTAMINATION = "duplicate", "contamination"
AFTER_LEVELS = (DUPLICATE, CONTAMINATION)
"""Where a record that passed all levels can still be rejected, in the order of decision."""


@dataclass(frozen=True)
class Score:
    """A column of numbers between 0 and 1."""

    name: str
    title: str
    """Heading of its distribution in the report of a release."""
    meaning: str
    """What it is, as a table has it."""
    threshold: str = ""
    """The level's setting that bounds it: a number, or {value of `per`: number}; empty: none."""
    keeps: Literal["above", "below"] = "above"
    """The side of the threshold on which a record is kept, the threshold included."""
    per: str = ""
    """Column whose value selects the threshold, where it depends on one."""
    watched: bool = True
    """Whether the drift test compares its distribution."""
    type: ClassVar[str] = "float32"

    @property
    def excess(self) -> str:
        """Name of the column that holds the score less its threshold, where that is selected."""
        return f"over_{self.threshold.removesuffix('s')}"


@dataclass(frozen=True)
class Label:
    """A column of words of a fixed set."""

    name: str
    values: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    """Values that no kept record has."""
    switch: str = ""
    """The level's setting without which no value rejects; empty: none switches it off."""
    type: ClassVar[str] = "string"


@dataclass(frozen=True)
class Count:
    """A column of numbers from 0 on."""

    name: str
    type: ClassVar[str] = "int32"


Column = Score | Label | Count


@dataclass(frozen=True)
class LevelFacts:
    """What a level declares of itself."""

    name: str
    """Its section of the settings, its word in the ledger, and the first part of its reasons."""
    columns: tuple[Column, ...]
    """What it adds to a release; names that begin with `_` are private and need no declaration."""
    reasons: tuple[str, ...]
    """Rules by which it rejects, `<name>.<rule>` in the ledger."""

    @property
    def scores(self) -> tuple[Score, ...]:
        """Its columns that are scores."""
        return tuple(c for c in self.columns if isinstance(c, Score))


def places(levels: Iterable[LevelFacts]) -> tuple[str, ...]:
    """Where a record can be rejected, in the order of decision: `level` of the ledger."""
    return (*(level.name for level in levels), *AFTER_LEVELS)


def scores(levels: Sequence[LevelFacts]) -> tuple[Score, ...]:
    """Return the scores of all levels."""
    return tuple(score for level in levels for score in level.scores)
