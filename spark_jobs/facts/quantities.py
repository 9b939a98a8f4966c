"""Numbers as texts write them, with the interval that rounding leaves open."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\d|[.,]\d)"
"""A whole number without sign, never the beginning of a longer one: 1,234.5 or 12 or 0.3."""
SCALES = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "mln": 1e6,
    "billion": 1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12, "tn": 1e12,
    "十": 1e1, "百": 1e2, "千": 1e3, "万": 1e4, "十万": 1e5, "百万": 1e6, "千万": 1e7, "亿": 1e8,
    "百亿": 1e10, "千亿": 1e11, "万亿": 1e12,
}  # fmt: skip
"""Words that multiply a number."""
EN_SCALE = r"(?:hundred|thousand|million|mn|mln|billion|bn|trillion|tn)"
ZH_SCALE = r"(?:万亿|千亿|百亿|亿|千万|百万|十万|万|千)"


@dataclass(frozen=True)
class Quantity:
    """A rounded number: what it may have been before it was rounded."""

    low: float
    high: float

    @property
    def value(self) -> float:
        """The number as written."""
        return (self.low + self.high) / 2


def quantity(number: str, scale: str = "") -> Quantity:
    """Return `number`, a match of NUMBER, times its scale, give or take half its last digit."""
    digits = number.replace(",", "")
    decimals = len(digits.partition(".")[2])
    factor = SCALES.get(scale.lower(), 1.0)
    value, half = float(digits), 0.5 * 10.0**-decimals
    return Quantity((value - half) * factor, (value + half) * factor)


_CHINESE = {"〇": 0, "○": 0, "零": 0, "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7,
            "八": 8, "九": 9}  # fmt: skip
_TENS = re.compile(r"([一二三四五六七八九])?十([一二三四五六七八九])?")


def whole(text: str) -> int | None:
    """Read a number below 100 or a year, in digits or Chinese numerals; None if it is neither."""
    if text.isascii() and text.isdigit():
        return int(text)
    tens = _TENS.fullmatch(text)
    if tens:
        return _CHINESE.get(tens[1] or "一", 1) * 10 + _CHINESE.get(tens[2] or "〇", 0)
    if text and all(c in _CHINESE for c in text):
        return int("".join(str(_CHINESE[c]) for c in text))
    return None
