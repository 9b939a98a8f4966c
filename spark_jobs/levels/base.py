"""The contract of a level: it fills score columns, then an expression over them decides.

Scores are stored for every record with usable text, whichever level rejects it; the threshold is
applied last, so that a release can be made anew from stored scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headrace.infra.configuration.settings import Settings
from headrace.spark_jobs.texts import Texts


@dataclass(frozen=True)
class Verdict:
    """Who is rejected, and why; both arrays have a row a record."""

    reason: pa.Array
    """pa.string(): `<level>.<rule>`, null where the record passes."""
    detail: pa.Array
    """pa.string(): what was seen, for a person to read; null where it passes."""


@dataclass(frozen=True)
class Level:
    """One level. `score` sees usable texts only; `decide` sees every record of the batch."""

    number: int
    name: str
    settings: type[Settings]
    score: Callable[[Texts, Any], dict[str, pa.Array]]
    """Score columns of infra.schemas.SCORED that this level fills, and private ones (a name that
    begins with `_`) that `decide` needs; each of length N."""
    decide: Callable[[pa.Table, Any], Verdict]
    """From a table with all columns (null scores where the text is not usable) to a verdict."""


def passed(n: int) -> Verdict:
    """A verdict that lets all `n` records pass."""
    nothing = pa.nulls(n, pa.string())
    return Verdict(nothing, nothing)
