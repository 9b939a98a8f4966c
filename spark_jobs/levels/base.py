"""The contract of a level: it fills the columns that it declares, then decides from them.

Scores are stored for every record with usable text, whichever level rejects it; the threshold is
applied last, so that a release can be made again from stored scores.

A level's module is imported wherever settings are read. So it imports NumPy, Arrow and kernels
inside its functions: a mistake in a setting is reported before anything slow is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from headrace.infra.configuration.settings import Settings
from headrace.infra.level_facts import LevelFacts

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.infra.arrow import Strings
    from headrace.spark_jobs.texts import Texts

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Verdict:
    """Who is rejected, and why; both arrays have one row per record."""

    reason: Strings
    """`<level>.<rule>`, null where the record passes."""
    detail: Strings
    """What was seen, for a person to read; null where the record passes."""


@dataclass(frozen=True)
class Level(LevelFacts, Generic[S]):
    """One level. `score` sees usable texts only; `decide` sees every record of the batch."""

    settings: type[S]
    """What it is called with. A field `languages` receives the languages that are kept."""
    score: Callable[[Texts, S], dict[str, pa.Array[Any]]]
    """The declared columns and private ones that `decide` needs, each of length N."""
    decide: Callable[[pa.Table, S], Verdict]
    """From a table with all columns (null scores where the text is not usable) to a verdict."""
    section: type[Settings] | None = None
    """The part of `settings` that a user sets; None: all of it."""


def passed(n: int) -> Verdict:
    """Return a verdict that lets all `n` records pass."""
    import pyarrow as pa

    nothing = pa.nulls(n, pa.string())
    return Verdict(nothing, nothing)
