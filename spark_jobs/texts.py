"""The texts that kernels and levels judge: two Arrow buffers and a language code per text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headrace.infra.arrow import Strings
from headrace.spark_jobs.folding import Table

OTHER, ZH, EN = 0, 1, 2
"""Codes of `Texts.lang`."""


@cache
def folding() -> Table:
    """Return the table of traditional and simplified characters."""
    return Table.load(Path(__file__).with_name("levels") / "data" / "folding.json")


@dataclass(frozen=True)
class Texts:
    """A batch of N usable texts as Arrow holds them: kernels read the two buffers, no objects."""

    text: Strings
    """Texts of length N without nulls."""
    lang: npt.NDArray[np.int8]
    """(N,) language codes: OTHER, ZH or EN."""

    @cached_property
    def data(self) -> npt.NDArray[np.uint8]:
        """UTF-8 bytes of all texts, one after another."""
        buffer = self.text.buffers()[2]
        if buffer is None or buffer.size == 0:
            return np.zeros(1, np.uint8)
        return np.frombuffer(memoryview(buffer), np.uint8)

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
        buffer = self.text.buffers()[1]
        assert buffer is not None, "a string array has offsets"
        first = self.text.offset
        raw = np.frombuffer(memoryview(buffer), np.int32)
        return raw[first : first + len(self.text) + 1].astype(np.int64)
