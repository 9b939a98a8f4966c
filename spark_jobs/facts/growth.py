"""Changes against the amounts that they are changes of: from A to B is up, and by x %."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, sentence, stated
from headrace.spark_jobs.facts.quantities import (
    EN_SCALE,
    NUMBER,
    ZH_SCALE,
    Quantity,
    quantity,
)
from headrace.spark_jobs.kernels.anchors import Search

SLACK_POINTS, SLACK_SHARE = 1.0, 0.05
"""A percentage is refuted where it is off by more than a point and a twentieth of itself beyond
what the rounding of the numbers explains: texts compute from figures that they don't show."""

_OTHER_BASIS = re.compile(
    r"annuali[sz]ed|annual rate|constant currenc|organic|like.for.like|adjusted|comparable"
    r"|per year|a year\b|annually|compound|cagr|percentage point|basis point|inflation"
    r"|real terms|excluding|average|每年|年均|年化|复合|可比|剔除|扣除|不变价|个百分点|不含|平均"
)
"""Words after which the percentage is of something else than the two amounts."""
_NEGATIVE = re.compile(r"\bloss|deficit|negative|minus|亏损|赤字|逆差|负")
"""Words after which an amount may be below 0, and a rise of it a fall."""

_MONEY = r"(?:(?:US|AU|CA|HK)?[$€£¥] ?|(?:EUR|USD|GBP|SEK|RMB) ?)"
_A, _B, _D = (
    rf"(?P<{k}c>{_MONEY})?(?P<{k}>{NUMBER})(?: ?(?P<{k}s>{EN_SCALE})\b)?"
    rf"(?P<{k}p> ?(?:%|per ?cent))?"
    for k in "abd"
)
_PERCENT = rf"(?P<p>{NUMBER})\s?(?:%|％|per ?cent\b)"
_UP = r"(?:rose|risen|rises|increased|increases|grew|grown|climbed|jumped|soared|went up)"
_DOWN = r"(?:fell|fallen|falls|decreased|decreases|declined|declines|dropped|shrank|plunged)"
_TURN = rf"(?:(?P<up>{_UP})|(?P<down>{_DOWN}))"
_NOUN = (
    r"(?:(?:an? )?(?:(?P<up>increase|rise|growth|gain|jump)"
    r"|(?P<down>decrease|decline|drop|fall|reduction))(?: of)?|(?P<up2>up)|(?P<down2>down)|or)"
)
_THAN = r"(?:from|compared with|compared to)"
_SOME = r"(?: (?:[a-z]{2,12}|(?:19|20)\d\d)){0,4},?"

_UP_ZH = r"增长|增加|上升|提高|提升|上涨|攀升|扩大|增"
_DOWN_ZH = r"下降|减少|降低|下滑|下跌|缩减|回落|减|降"
_WHEN_ZH = r"(?:(?:19|20)\d\d年的?)?(?:的|约)?"
_UNIT_ZH = r"[^\d\s，。；、,;.（）()]{0,5}?"
_FROM_TO_ZH = (
    rf"[从由]{_WHEN_ZH}(?P<a>{NUMBER})(?P<as>{ZH_SCALE})?(?P<au>{_UNIT_ZH})"
    rf"(?:(?P<up>{_UP_ZH})|(?P<down>{_DOWN_ZH}))(?:到|至|为)了?{_WHEN_ZH}"
    rf"(?P<b>{NUMBER})(?P<bs>{ZH_SCALE})?"
)

_BY_PERCENT = (
    # rose 12 % to EUR 1.3 mn from EUR 1.1 mn
    re.compile(
        rf"\b{_TURN} (?:by )?(?:about |some )?{_PERCENT}{_SOME} to {_B}{_SOME} {_THAN} {_A}"
    ),
    # increased from 200 to 250, an increase of 25 %
    re.compile(rf"\bfrom {_A}{_SOME} to {_B}{_SOME} ?[(,]? ?{_NOUN} (?:about |by )?{_PERCENT}"),
    # 从200亿元增长到250亿元，增长25%
    re.compile(
        rf"{_FROM_TO_ZH}(?P<bu>{_UNIT_ZH})[，,（(]?(?:同比|共|累计)?"
        rf"(?:{_UP_ZH}|{_DOWN_ZH}|增幅|降幅)(?:了|约|达|为|幅度为)?{_PERCENT}"
    ),
    # 250亿元，同比增长25%，上年同期为200亿元
    re.compile(
        rf"(?<![\d.])(?P<b>{NUMBER})(?P<bs>{ZH_SCALE})?(?P<bu>{_UNIT_ZH})[，,（(]"
        rf"(?:比上年同期|较上年同期|同比)(?:(?P<up>{_UP_ZH})|(?P<down>{_DOWN_ZH}))了?{_PERCENT}[）)]?"
        rf"[，,（(](?:上年同期|去年同期)(?:为|是)(?P<a>{NUMBER})(?P<as>{ZH_SCALE})?(?P<au>{_UNIT_ZH})"
        r"(?![\d.])"
    ),
)
_BY_DIFFERENCE = (
    # increased $6.9 million, or 9%, to $83.5 million
    re.compile(
        rf"\b{_TURN} (?:by )?{_D},? (?:or )?[(]?(?:approximately |about )?{_PERCENT}[),]* to {_B}"
    ),
)
_BY_DIRECTION = (
    # rose to EUR 1.3 mn from EUR 1.1 mn
    re.compile(rf"\b{_TURN} to {_B}{_SOME} {_THAN} {_A}"),
    re.compile(rf"\b{_TURN} from {_A} to {_B}"),
    re.compile(rf"{_FROM_TO_ZH}(?P<bu>[^\d\s，。；、,;.（）()]{{0,2}})"),
)


def _year(number: str, scale: str | None) -> bool:
    return not scale and number.isdigit() and 1900 <= int(number) <= 2100


def _amounts(groups: dict[str, str | None]) -> tuple[Quantity, Quantity] | None:
    """Return the amount before and after; None where they are not of one kind, or may be years."""
    before, after = groups["a"] or "", groups["b"] or ""
    scale_a, scale_b = groups["as"], groups["bs"]
    if _year(before, scale_a) or _year(after, scale_b):
        return None
    if groups.get("au") is not None and groups.get("bu") is not None:
        # "200亿元" and "250亿": the text may drop the unit, not change it.
        unit_a, unit_b = groups["au"] or "", groups["bu"] or ""
        if unit_a and unit_b and unit_a[0] != unit_b[0]:
            return None
    elif (groups.get("ac") or "").strip() != (groups.get("bc") or "").strip() or bool(
        groups.get("ap")
    ) != bool(groups.get("bp")):
        return None
    if scale_a != scale_b and not (scale_a and scale_b):
        return None  # "from 1.1 to 1.3 million" may mean millions both times
    return quantity(before, scale_a or ""), quantity(after, scale_b or "")


def _interval(before: Quantity, after: Quantity) -> tuple[float, float]:
    """Return what the change may be in per cent."""
    return (after.low / before.high - 1) * 100, (after.high / before.low - 1) * 100


def _percentage(match: re.Match[str], change: tuple[float, float]) -> tuple[bool, str]:
    """Whether the percentage agrees with the change, and what it is."""
    groups = match.groupdict()
    said = quantity(match["p"])
    down = groups.get("down") or groups.get("down2")
    up = groups.get("up") or groups.get("up2")
    if not (up or down):  # "from 200 to 150, or 25 %"
        down = "" if change[0] > 0 else "down"
    low, high = (-said.high, -said.low) if down else (said.low, said.high)
    slack = max(SLACK_POINTS, SLACK_SHARE * said.value)
    agrees = low - slack <= change[1] and change[0] <= high + slack
    return agrees, f"that is a change of {sum(change) / 2:+.1f} %"


def percentage(text: str) -> Iterator[Finding]:
    """Two amounts, or one and the difference, and the percentage between them."""
    for pattern in (*_BY_PERCENT, *_BY_DIFFERENCE):
        for match in pattern.finditer(text):
            around = sentence(text, *match.span()).lower()
            if _OTHER_BASIS.search(around) or _NEGATIVE.search(around):
                continue
            groups = match.groupdict()
            if pattern in _BY_DIFFERENCE:
                if bool(groups["ds"]) != bool(groups["bs"]) or groups["dp"] or groups["bp"]:
                    continue
                after = quantity(match["b"], groups["bs"] or "")
                step = quantity(match["d"], groups["ds"] or "")
                sign = -1 if groups["down"] else 1
                ends = sorted(after.value - sign * s for s in (step.low, step.high))
                amounts: tuple[Quantity, Quantity] | None = Quantity(*ends), after
            else:
                amounts = _amounts(groups)
            if not amounts or amounts[0].low <= 0:
                continue
            right, truth = _percentage(match, _interval(*amounts))
            if right or stated(text, *match.span()):
                yield Finding(right, match[0], truth, match.start())


def direction(text: str) -> Iterator[Finding]:
    """Two amounts and whether the second is more or less than the first."""
    for pattern in _BY_DIRECTION:
        for match in pattern.finditer(text):
            amounts = _amounts(match.groupdict())
            around = sentence(text, *match.span()).lower()
            if not amounts or _NEGATIVE.search(around):
                continue
            before, after = amounts
            wrong = before.low > after.high if match["up"] else after.low > before.high
            clear = after.low > before.high if match["up"] else before.low > after.high
            way = "more" if after.value > before.value else "less"
            if clear or (wrong and stated(text, *match.span())):
                yield Finding(
                    not wrong, match[0], f"the second amount is {way} than the first", match.start()
                )


_ANCHORS_ZH = tuple(
    f"{turn}{to}"
    for turn in (*_UP_ZH.split("|"), *_DOWN_ZH.split("|"))
    for to in ("到", "至", "为")
)
_ANCHORS_EN = ("% to ", "percent to ", "per cent to ", "%, to ", "%) to ", "percent, to ")
_ANCHORS_AFTER = (
    ", up ", " (up ", ", down ", " (down ", "increase of", "decrease of", "decline of", "rise of",
    "growth of", "drop of", ", or ",
)  # fmt: skip
_TURNS = tuple(
    f"{verb} {to} "
    for verb in re.findall(r"\w+(?: \w+)?", f"{_UP} {_DOWN}".replace("?:", "").replace(" (", "|"))
    for to in ("to", "from")
)

RULES = (
    Rule(
        "percentage",
        Search((*_ANCHORS_EN, *_ANCHORS_AFTER, *_ANCHORS_ZH, "同期为", "同期是"), 120, 120, 5),
        percentage,
    ),
    Rule("direction", Search((*_TURNS, *_ANCHORS_ZH), 70, 90, 2), direction),
)
