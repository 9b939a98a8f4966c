"""Sums and shares that a text writes out: 3 + 4 = 7, and 12 of 48 patients (25 %)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, sentence, stated
from headrace.spark_jobs.facts.quantities import NUMBER, quantity
from headrace.spark_jobs.kernels.anchors import Search

_OPERATION = r"[+×*÷−-]"
_EQUATION = re.compile(
    rf"(?<![\w.,)\]}}=%$^/'\"+*×÷−-])(?<![)\]}}=%$^+*×÷xX−-] )"
    rf"(?P<left>\$?{NUMBER}(?: ?{_OPERATION} ?\$?{NUMBER})+) ?= ?\$?(?P<right>-?{NUMBER})"
    rf"(?! ?[%^(\[+×*÷/=−'\"°万亿千百-]|[A-Za-z]| [KMGTkm]?[Bb](?:its?|ytes?)?\b)"
)
_TERM = re.compile(rf"({_OPERATION})? ?\$?({NUMBER})")
_NOT_DECIMAL = re.compile(
    r"binary|modul|\bmod\b|hexa|octal|base|xor|string|boolean|python|javascript|approx|二进制|模|进制"
    r"|字符串|约"
)
_PROPORTION = (
    re.compile(
        rf"(?<![\d.,/-])(?P<part>{NUMBER}) (?:of|out of|of the|out of the) (?P<whole>{NUMBER})"
        rf"(?: [a-z-]{{2,16}}){{0,4}} ?\((?P<share>{NUMBER}) ?%\)"
    ),
    re.compile(rf"(?<![\d.,/-])(?P<part>{NUMBER})/(?P<whole>{NUMBER}) \((?P<share>{NUMBER}) ?%\)"),
    re.compile(
        rf"(?<![\d.,])(?P<whole>{NUMBER})(?P<unit>[例名人只])(?:患者|病人)?中[，,]?(?:有)?"
        rf"(?P<part>{NUMBER})(?P=unit)[^，。；\d]{{0,8}}[，（(]占?(?P<share>{NUMBER})\s?[%％]"
    ),
)
SLACK = 0.6
"""Percentage points beyond rounding by which a share may be off."""


def _value(left: str) -> float:
    """Return the value of a chain of numbers; products bind closer than sums."""
    total, product, sign = 0.0, 1.0, 1.0
    for position, (operation, number) in enumerate(_TERM.findall(left)):
        value = float(number.replace(",", ""))
        if operation in ("×", "*"):
            product *= value
        elif operation == "÷":
            product = product / value if value else float("nan")
        else:
            total += sign * product if position else 0.0
            sign, product = (-1.0 if operation in ("-", "−") else 1.0), value
    return total + sign * product


def equation(text: str) -> Iterator[Finding]:
    """Equations of plain decimal numbers; the right side may be rounded."""
    for match in _EQUATION.finditer(text):
        if _NOT_DECIMAL.search(sentence(text, *match.span()).lower()):
            continue
        true = _value(match["left"])
        right = match["right"]
        said = quantity(right.lstrip("-"))
        sign = -1 if right.startswith("-") else 1
        holds = said.low - 1e-9 <= sign * true <= said.high + 1e-9
        # A wrong sum of decimals is mostly a unit left out; of whole numbers it is wrong.
        whole = "." not in match[0] and "÷" not in match["left"]
        if true == true and (holds or (whole and stated(text, *match.span()))):
            yield Finding(holds, match[0], f"{match['left']} = {true:g}", match.start())


def proportion(text: str) -> Iterator[Finding]:
    """Check a part, its whole and the share of it in per cent."""
    for pattern in _PROPORTION:
        for match in pattern.finditer(text):
            part, whole = (float(match[k].replace(",", "")) for k in ("part", "whole"))
            if not 0 < part <= whole or whole < 3:
                continue
            said, true = quantity(match["share"]), part / whole * 100
            right = said.low - SLACK <= true <= said.high + SLACK
            if right or stated(text, *match.span()):
                yield Finding(
                    right, match[0], f"{part:g} of {whole:g} is {true:.1f} %", match.start()
                )


RULES = (
    Rule("equation", Search((" = ", "="), 60, 24, 3), equation),
    Rule("proportion", Search(("%)", "% )", "％", "中有", "例中", "人中"), 70, 40, 4), proportion),
)
