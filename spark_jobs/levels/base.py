"""The contract of a level: it fills score columns, then an expression over them decides.

Scores are stored for every record with usable text, whichever level rejects it; the threshold is
applied last, so that a release can be made anew from stored scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra.configuration.settings import Settings
from headrace.spark_jobs.kernels.folding import Table

OTHER, ZH, EN = 0, 1, 2
"""Codes of `Texts.lang`."""


@cache
def folding() -> Table:
    """The table of traditional and simplified characters."""
    return Table.load(Path(__file__).with_name("data") / "folding.json")


@dataclass(frozen=True)
class Texts:
    """A batch of N usable texts as Arrow holds them: kernels read the two buffers, no objects."""

    text: pa.Array
    """pa.string() of length N without nulls."""
    lang: npt.NDArray[np.int8]
    """(N,) language codes: OTHER, ZH or EN."""

    @cached_property
    def data(self) -> npt.NDArray[np.uint8]:
        """UTF-8 bytes of all texts, one after another."""
        buffer = self.text.buffers()[2]
        if buffer is None or buffer.size == 0:
            return np.zeros(1, np.uint8)
        return np.frombuffer(buffer, np.uint8)

    @cached_property
    def folded(self) -> npt.NDArray[np.uint8]:
        """`data` with traditional characters of Chinese texts as simplified ones.

        Same length, same offsets. What judges words and wording reads this; what judges bytes or
        quotes a text reads `data`.
        """
        return folding().fold(self.data, self.offsets, self.lang == ZH)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(N + 1,) where each text begins and ends in `data`."""
        raw = np.frombuffer(self.text.buffers()[1], np.int32)
        at = self.text.offset
        return raw[at : at + len(self.text) + 1].astype(np.int64)


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
