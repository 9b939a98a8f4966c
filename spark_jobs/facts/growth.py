"""Percentages against the two amounts that they compare: from A to B, an increase of x %."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, sentence, stated
from headrace.spark_jobs.facts.numbers import EN_SCALE, NUMBER, ZH_SCALE, Quantity, quantity
from headrace.spark_jobs.kernels.anchors import Search

SLACK_POINTS, SLACK_SHARE = 1.0, 0.05
"""A percentage is refuted where it is off by more than a point and a twentieth of itself beyond
what the rounding of the three numbers explains: texts compute from figures that they don't show."""

_OTHER_BASIS = re.compile(
    r"annuali[sz]ed|annual rate|constant currenc|organic|like.for.like|adjusted|comparable|per year"
    r"|a year\b|annually|compound|cagr|loss|losses|deficit|percentage point|basis point|inflation"
    r"|real terms|excluding|average|每年|年均|年化|复合|可比|剔除|扣除|不变价|亏损|个百分点|不含|平均"
)
"""Words after which the percentage is of something else than the two amounts."""

_A = rf"(?P<a>{NUMBER})"
_B = rf"(?P<b>{NUMBER})"
_P = rf"(?P<p>{NUMBER})\s?(?:%|％|per ?cent\b)"
_CURRENCY = r"(?:(?:US|AU|CA|HK)?[$€£¥]|(?:EUR|USD|GBP|SEK|RMB) ?)?"
_ENDS_EN = rf"(?: ?(?P<{{0}}>{EN_SCALE})\b)?(?! ?(?:%|per ?cent))"
_A_EN, _B_EN = (rf"{_CURRENCY}{n}{_ENDS_EN.format(f'{k}s')}" for n, k in ((_A, "a"), (_B, "b")))
_UP_EN = (
    r"(?:rose|risen|increased|grew|grown|climbed|jumped|soared|went up|gained|rises|increases|up)"
)
_DOWN_EN = (
    r"(?:fell|fallen|declined|decreased|dropped|shrank|slipped|went down|plunged|falls|declines"
    r"|decreases|down)"
)
_TURN_EN = rf"(?:(?P<up>{_UP_EN})|(?P<down>{_DOWN_EN}))"
_NOUN_EN = (
    r"(?:(?:an? )?(?:(?P<up>increase|rise|growth|gain|jump)|(?P<down>decrease|decline|drop|fall|reduction))"
    r"(?: of)?|(?P<up2>up)|(?P<down2>down)|or)"
)
_NAME_EN = r"(?: [a-z]{2,12}){0,3}"
_ENGLISH = (
    # rose 12 % to EUR 1.3 mn from EUR 1.1 mn
    re.compile(
        rf"\b{_TURN_EN} (?:by )?(?:about |some )?{_P},? to {_B_EN}{_NAME_EN},? (?:from|compared with|compared to) {_A_EN}",
        re.IGNORECASE,
    ),
    # increased from 200 to 250, an increase of 25 %
    re.compile(
        rf"\bfrom {_A_EN}{_NAME_EN} to {_B_EN}{_NAME_EN},? ?[(,]? ?{_NOUN_EN} (?:about |by )?{_P}",
        re.IGNORECASE,
    ),
)
_UP_ZH = r"(?:增长|增加|上升|提高|提升|上涨|攀升|扩大|增)"
_DOWN_ZH = r"(?:下降|减少|降低|下滑|下跌|缩减|回落|减|降)"
_UNIT_ZH = r"[^\d\s，。；、,;.%％（）()]{0,5}"
_YEAR_ZH = r"(?:(?:19|20)\d\d年的?)?"
_CHINESE = (
    # 从200亿元增长到250亿元，增长25%
    re.compile(
        rf"[从由]{_YEAR_ZH}(?:的|约)?{_A}(?P<as>{ZH_SCALE})?(?P<au>{_UNIT_ZH}?)"
        rf"(?:{_UP_ZH}|{_DOWN_ZH})(?:到|至|为)了?{_YEAR_ZH}(?:的|约)?{_B}(?P<bs>{ZH_SCALE})?(?P<bu>{_UNIT_ZH})"
        rf"[，,（(]?(?:同比|增幅为?|降幅为?|共|累计)?(?:(?P<up>{_UP_ZH})|(?P<down>{_DOWN_ZH}))?(?:了|约|达|幅度为)?{_P}"
    ),
    # 250亿元，同比增长25%，上年同期为200亿元
    re.compile(
        rf"{_B}(?P<bs>{ZH_SCALE})?(?P<bu>{_UNIT_ZH})[，,（(](?:比上年同期|较上年同期|同比)"
        rf"(?:(?P<up>{_UP_ZH})|(?P<down>{_DOWN_ZH}))了?{_P}[）)]?[，,（(]"
        rf"(?:上年同期|去年同期)(?:为|是){_A}(?P<as>{ZH_SCALE})?(?P<au>{_UNIT_ZH})"
    ),
)


def _change(before: Quantity, after: Quantity) -> tuple[float, float] | None:
    """The interval of the change in per cent; None where the first amount may be 0."""
    if before.low <= 0:
        return None
    return (after.low / before.high - 1) * 100, (after.high / before.low - 1) * 100


def _year(number: str) -> bool:
    return len(number) == 4 and number.isdigit() and 1900 <= int(number) <= 2100


def growth(text: str) -> Iterator[Finding]:
    """Two amounts and the percentage between them."""
    for pattern in (*_ENGLISH, *_CHINESE):
        for match in pattern.finditer(text):
            groups = match.groupdict()
            scales = groups["as"] or "", groups["bs"] or ""
            if any(_year(match[k]) and not scale for k, scale in zip("ab", scales, strict=True)):
                continue
            # "from 1.1 to 1.3 million": the scale of the second holds for the first as well.
            if (
                not scales[0]
                and scales[1]
                and pattern in _ENGLISH
                and float(match["a"].replace(",", "")) < 1000
            ):
                scales = scales[1], scales[1]
            if groups.get("au") and groups.get("bu") and groups["au"] != groups["bu"]:
                continue
            change = _change(quantity(match["a"], scales[0]), quantity(match["b"], scales[1]))
            if change is None or _OTHER_BASIS.search(sentence(text, *match.span()).lower()):
                continue
            said = quantity(match["p"])
            down = groups.get("down") or groups.get("down2")
            up = groups.get("up") or groups.get("up2")
            low, high = (-said.high, -said.low) if down else (said.low, said.high)
            if not (up or down) and change[1] < 0:  # "from 200 to 150, or 25 %"
                low, high = -said.high, -said.low
            slack = max(SLACK_POINTS, SLACK_SHARE * said.value)
            right = low - slack <= change[1] and change[0] <= high + slack
            middle = sum(change) / 2
            if right or stated(text, *match.span()):
                yield Finding(right, match[0], f"that is a change of {middle:+.1f} %")


RULES = (
    Rule(
        "growth",
        Search(
            ("% to ", "per cent to ", "percent to ", ", up ", " (up ", ", down ", " (down ",
             "increase of", "decrease of", "decline of", "rise of", "growth of", "drop of",
             ", or ", "增长到", "增长至", "增加到", "增加至", "增长为", "上升到", "上升至", "提高到", "提高至",
             "提升到", "提升至", "下降到", "下降至", "减少到", "减少至", "降低到", "降低至", "降至", "增至",
             "减至", "同期为", "同期是", "上涨到", "上涨至", "下跌至", "下滑至"),
            120, 120, 5,
        ),
        growth,
    ),
)  # fmt: skip
