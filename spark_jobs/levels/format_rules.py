"""The rules of level 1: measures of a text's characters, and the settings that bound them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.spark_jobs.kernels import characters as c
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.l1_format import FormatSettings
from headrace.spark_jobs.texts import Texts

Ratio = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _share(column: int, least: int, of: int = c.CHARACTERS) -> Ratio:
    """Share of `column` in `of`; 0 below `least` of them: one odd character proves nothing."""

    def ratio(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        share = counts[:, column] / np.maximum(counts[:, of], 1)
        return np.where(counts[:, column] >= least, share, 0.0)

    return ratio


def _repeated(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    long = counts[:, c.VISIBLE] >= SHORTEST_JUDGED
    return np.where(long, counts[:, c.LONGEST_REPEAT] / np.maximum(counts[:, c.VISIBLE], 1), 0.0)


def _symbols(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    long = counts[:, c.VISIBLE] >= SHORTEST_JUDGED
    return np.where(long, counts[:, c.LETTERS] / np.maximum(counts[:, c.VISIBLE], 1), 1.0)


SHORTEST_JUDGED = 20
"""Visible characters from which repetition and noise are judged: "!!!" can be an answer."""


@dataclass(frozen=True)
class Rule:
    """A measure of the text and the setting that bounds it."""

    name: str
    """`format.<name>` is the reason."""
    measure: Ratio
    setting: str
    """Field of FormatSettings; one that begins with `min_` is a lower bound."""
    of: str
    """What is measured, as the detail says it."""

    def failed(
        self, seen: npt.NDArray[np.float64], settings: FormatSettings
    ) -> npt.NDArray[np.bool_]:
        """(N,) whether a measure is out of bounds; NaN (no usable text) is not."""
        bound = float(getattr(settings, self.setting))
        return seen < bound if self.setting.startswith("min_") else seen > bound

    def says(self, seen: float, settings: FormatSettings) -> str:
        """Return what was seen, and the bound, for a person to read."""
        bound = getattr(settings, self.setting)
        side = "at least" if self.setting.startswith("min_") else "at most"
        if isinstance(bound, int):
            return f"{self.of}: {seen:.0f} ({side} {bound})"
        return f"{self.of}: {seen:.1%} ({side} {bound:.1%})"


def _length(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return counts[:, c.WEIGHT]


RULES = (
    Rule("undecodable", _share(c.REPLACED, 2), "max_undecodable", "U+FFFD among characters"),
    Rule("control", _share(c.CONTROL, 2), "max_control", "control characters"),
    Rule("private_use", _share(c.PRIVATE, 4), "max_private_use", "private-use characters"),
    Rule("mojibake", _share(c.MOJIBAKE, 6), "max_mojibake", "wrongly decoded characters"),
    Rule("repeated", _repeated, "max_repeated", "one character repeated among visible ones"),
    Rule("encoded", _share(c.ENCODED, 1), "max_encoded", "characters of encoded data"),
    Rule("line_noise", _symbols, "min_letters", "letters and digits among visible characters"),
    Rule("markup", _share(c.TAGS, 1), "max_markup", "characters in tags"),
    Rule("too_short", _length, "min_length", "letters and digits, a Han character as two"),
)
"""In the order in which they are asked; the first that fails is the reason."""

_PRIVATE = "_format_"


def score(texts: Texts, settings: FormatSettings) -> dict[str, pa.Array[Any]]:
    """Return the measure of each rule, private columns `_format_<rule>` (pa.float64())."""
    del settings  # measures don't depend on the bounds
    counts = c.count(texts.data, texts.offsets).astype(np.float64)
    return {_PRIVATE + rule.name: pa.array(rule.measure(counts)) for rule in RULES}


def _why_unusable(table: pa.Table, row: int) -> str:
    if table["text"][row].is_valid:
        return "text is blank"
    given = table["metadata"][row].as_py() if "metadata" in table.column_names else None
    if given and "given_text" in given:
        return "text is not a string"
    return "text is missing"


def decide(table: pa.Table, settings: FormatSettings) -> Verdict:
    """Reject records without usable text (null scores), by `RULES`, by language.

    Language comes last: text of noise has no language, and the noise is the better reason.
    """
    n = table.num_rows
    reason = np.full(n, None, dtype=object)
    detail = np.full(n, None, dtype=object)

    def reject(rows: npt.NDArray[np.bool_], rule: str, say: Callable[[int], str]) -> None:
        for row in np.flatnonzero(rows & (reason == None)):  # noqa: E711 (elementwise)
            reason[row], detail[row] = f"format.{rule}", say(int(row))

    # Only usable text was scored.
    unusable = table[_PRIVATE + RULES[0].name].is_null().to_numpy()
    reject(unusable, "no_text", lambda row: _why_unusable(table, row))
    for rule in RULES:
        seen = table[_PRIVATE + rule.name].to_numpy(zero_copy_only=False)
        reject(
            rule.failed(seen, settings),
            rule.name,
            lambda row, rule=rule, seen=seen: rule.says(seen[row], settings),  # type: ignore[misc]
        )
    lang = np.asarray(table["lang"].to_pylist(), dtype=object).reshape(n)
    wanted = ", ".join(settings.languages)
    reject(
        ~np.isin(lang.astype(str), settings.languages),
        "language",
        lambda row: f"language {lang[row] or 'unknown'} is none of {wanted}",
    )
    return Verdict(pa.array(reason, pa.string()), pa.array(detail, pa.string()))
