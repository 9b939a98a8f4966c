"""Totals against the parts that the same clause counts: 23 boys and 25 girls, a total of 48."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, stated
from headrace.spark_jobs.facts.quantities import NUMBER
from headrace.spark_jobs.kernels.anchors import Search

_EN_PART = rf"{NUMBER} [a-z][a-z -]{{1,25}}"
_ENGLISH = re.compile(
    rf"(?<![\d.,$€£])(?P<parts>(?:{_EN_PART}, )*{_EN_PART},? and {_EN_PART}),?"
    rf" (?:for |making |with |giving |or )?(?:a|in) total (?:of )?(?P<total>{NUMBER})"
    r"(?![\d%]| per ?cent)"
    rf"(?! (?:of which|million|billion|points))"
)
_COUNTERS = "个人名只件家位户辆台册本篇部头匹张枚座栋艘架所项次"
_ZH_PART = rf"[^\d，。；、：（）()]{{0,8}}{NUMBER}[{_COUNTERS}][^\d，。；、：（）()]{{0,8}}"
_CHINESE = re.compile(
    rf"(?P<parts>{_ZH_PART}(?:[，、和与及]{_ZH_PART})+)"
    rf"[，,](?:共计|总计|合计|一共|总共)(?:有|为)?(?P<total>{NUMBER})(?P<unit>[{_COUNTERS}])"
)
_UNITS = re.compile(rf"{NUMBER}(\w)")


def total(text: str) -> Iterator[Finding]:
    """Check sums of two or more counted parts in one clause."""
    for pattern in (_ENGLISH, _CHINESE):
        for match in pattern.finditer(text):
            numbers = re.findall(NUMBER, match["parts"])
            units = set(_UNITS.findall(match["parts"]))
            if pattern is _CHINESE and units != {match["unit"]}:
                continue
            parts = [float(n.replace(",", "")) for n in numbers]
            said = float(match["total"].replace(",", ""))
            if any(n != int(n) for n in (*parts, said)):
                continue
            right = sum(parts) == said
            # A total far from the sum counts something else (all members, all years).
            if right or (0.5 <= said / max(sum(parts), 1) <= 2 and stated(text, *match.span())):
                shown = " + ".join(f"{n:g}" for n in parts)
                yield Finding(right, match[0], f"{shown} = {sum(parts):g}", match.start())


RULES = (
    Rule(
        "sum",
        Search(("total of", "in total", "共计", "总计", "合计", "一共", "总共"), 150, 40, 3),
        total,
    ),
)
