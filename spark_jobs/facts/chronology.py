"""Order of years: no one dies before birth, and lives and ages add up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, sentence, stated
from headrace.spark_jobs.kernels.anchors import Search

_BEFORE_CHRIST = re.compile(r"\bB\.?C|公元前|前\d|约前|西元前")
_Y = r"(?<!\d)(?:1[0-9]|20)\d{2}(?!\d)"
_EN_LIFE = re.compile(
    rf"\bborn (?:[^.;()]{{0,60}}? )?(?P<born>{_Y})[^.;]{{0,90}}?\b(?:and|he|she|who)? ?"
    rf"(?:died|dies|passed away) (?:[^.;()]{{0,60}}? )?(?P<died>{_Y})"
    r"(?:,? (?:aged|at the age of|at age) (?P<age>\d{1,3}))?"
)
_ZH_LIFE = re.compile(
    rf"(?:出生于|生于)(?P<born>{_Y})年[^。；;]{{0,40}}?(?:逝世于|卒于|死于|病逝于|去世于)"
    rf"(?P<died>{_Y})年(?:[^。；;]{{0,12}}(?:享年|终年)(?P<age>\d{{1,3}})岁)?"
)
_SPAN = re.compile(
    rf"[(（](?P<born>{_Y})(?:年(?:\d{{1,2}}月(?:\d{{1,2}}日)?)?)?\s?[-–—－～~]+\s?"
    rf"(?P<died>{_Y})(?:年(?:\d{{1,2}}月(?:\d{{1,2}}日)?)?)?[)）]"
    r"(?:[^。；;\d]{0,12}(?:享年|终年)(?P<age>\d{1,3})岁)?"
)
_FROM = re.compile(
    rf"从(?P<born>{_Y})年(?:\d{{1,2}}月)?(?:开始)?(?:一直)?[到至](?P<died>{_Y})年(?P<age>\d{{0}})"
)
AGE_SLACK = {True: 2, False: 1}
"""Years by which an age may differ; Chinese texts also count from one at birth."""


def order(text: str) -> Iterator[Finding]:
    """Births before deaths, spans in brackets, and ages at death."""
    for pattern in (_EN_LIFE, _ZH_LIFE, _SPAN, _FROM):
        for match in pattern.finditer(text):
            if _BEFORE_CHRIST.search(sentence(text, *match.span())):
                continue
            born, died = int(match["born"]), int(match["died"])
            right, truth = died >= born, f"{died} is before {born}"
            if right and match["age"]:
                age, chinese = int(match["age"]), "岁" in match[0]
                right = died - born - 1 - (not chinese) <= age <= died - born + AGE_SLACK[chinese]
                truth = f"from {born} to {died} are {died - born} years"
            elif right and pattern in (_SPAN, _FROM):
                continue  # years in order are no evidence
            elif right:
                truth = f"{born} is before {died}"
                right = died - born <= 125
            if right or stated(text, *match.span()):
                yield Finding(right, match[0], truth, match.start())


_DASHES = tuple(f"{dash}{century}" for dash in "–-－—" for century in ("1", "20"))
RULES = (
    Rule(
        "chronology",
        Search(
            (" died", "passed away", "逝世于", "卒于", "死于", "去世于", "病逝于", "享年", "终年"),
            220,
            90,
            8,
        ),
        order,
    ),
    Rule(
        "span",
        Search(("年)", "年）", "年到1", "年至1", "年到2", "年至2", *_DASHES), 40, 40, 8),
        order,
    ),
)
