"""Quantities outside what they can be: shares over 100 %, hours, ages of people, latitudes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, stated
from headrace.spark_jobs.facts.quantities import NUMBER
from headrace.spark_jobs.kernels.anchors import Search

_PERCENT = rf"(?P<n>{NUMBER})\s?(?:%|％|percent|per cent)"
_SHARE = (
    re.compile(
        rf"(?:accounts? for|accounted for|accounting for|made up|makes up|comprises|comprised)"
        rf" (?:about |some |over |more than )?{_PERCENT} of (?:the |all |its |total )",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\d.,-]){_PERCENT} of (?:the |all )?(?:patients|people|respondents|voters|adults"
        r"|children|women|men|participants|households|students|cases|residents|population)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\bprobability (?:of|is|was) (?:about )?{_PERCENT}", re.IGNORECASE),
    re.compile(rf"占[^，。；%％\d]{{1,14}}的?(?:比例|比重|比率)[为达是约]{{1,2}}{_PERCENT}"),
    re.compile(rf"占[^，。；%％\d比]{{1,10}}(?:总数|总量|总人口|总面积|全部|总人数)的{_PERCENT}"),
    re.compile(
        rf"(?:概率|几率|可能性|患病率|死亡率|识字率|出席率|及格率|合格率)[为达是约]{{1,2}}{_PERCENT}"
    ),
)


MOST_SHARE = 200
"""Above it a lost dash is likelier than a wrong share (510 for 5-10)."""


def share(text: str) -> Iterator[Finding]:
    """Shares of a whole above 100 %; one below is no evidence."""
    for pattern in _SHARE:
        for match in pattern.finditer(text):
            said = float(match["n"].replace(",", ""))
            if 100 < said <= MOST_SHARE and stated(text, *match.span()):
                yield Finding(False, match[0], "a share of a whole is 100 % at most", match.start())


_CLOCK = (
    re.compile(
        r"\b(?:at|until|till|by) (?P<h>\d{1,2})[:.](?P<m>\d{2}) ?(?:[ap]\.?m\b|o'clock)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:凌晨|早上|上午|中午|下午|傍晚|晚上|当晚|当日|当天)(?P<h>\d{1,2})[:：](?P<m>\d{2})(?![:：\d])"
    ),
    re.compile(
        r"(?:凌晨|早上|上午|中午|下午|傍晚|晚上|当晚|日)(?P<h>\d{1,2})[时点](?P<m>\d{1,2})分"
    ),
)


def clock(text: str) -> Iterator[Finding]:
    """Find times of day that no clock shows."""
    for pattern in _CLOCK:
        for match in pattern.finditer(text):
            hour, minute = int(match["h"]), int(match["m"])
            if (hour > 24 or minute > 59 or (hour == 24 and minute)) and stated(
                text, *match.span()
            ):
                yield Finding(False, match[0], "a day has 24 hours of 60 minutes", match.start())


_AGE = (
    re.compile(
        r"\b(?P<n>\d{3})[- ]years?[- ]old (?:\w+ )?"
        r"(?:man|woman|male|female|boy|girl|patient|gentleman|lady)\b",
        re.IGNORECASE,
    ),
    re.compile(r"(?:患者|男|女|病人)[，,、\s](?P<n>\d{3})岁"),
)
OLDEST = 130
"""Beyond the oldest age ever verified (122 years) with room to spare. Only patients and the like
are asked: legends and scriptures have people grow older."""


def age(text: str) -> Iterator[Finding]:
    """Ages that no person has reached."""
    for pattern in _AGE:
        for match in pattern.finditer(text):
            if int(match["n"]) > OLDEST and stated(text, *match.span()):
                yield Finding(
                    False, match[0], "nobody has been known to reach 123 years", match.start()
                )


_PLACE = (
    re.compile(
        rf"\b(?:latitude|lat\.?)(?: of|:)? ?(?P<lat>{NUMBER}) ?(?:°|degrees)", re.IGNORECASE
    ),
    re.compile(rf"\blongitude(?: of|:)? ?(?P<lon>{NUMBER}) ?(?:°|degrees)", re.IGNORECASE),
    re.compile(rf"[北南]纬\s?(?P<lat>{NUMBER})\s?[°度]"),
    re.compile(rf"[东西]经\s?(?P<lon>{NUMBER})\s?[°度]"),
)


def place(text: str) -> Iterator[Finding]:
    """Latitudes beyond 90 degrees and longitudes beyond 180."""
    for pattern in _PLACE:
        for match in pattern.finditer(text):
            name, bound = ("latitude", 90) if "lat" in match.groupdict() else ("longitude", 180)
            value = float(match[name[:3]].replace(",", ""))
            if value > bound and stated(text, *match.span()):
                yield Finding(False, match[0], f"{name} ends at {bound} degrees", match.start())


_TIMES = ("凌晨", "早上", "上午", "中午", "下午", "傍晚", "晚上", "当晚", "当日", "当天")
_AGES = ("year-old", "year old", "years old", "years-old")
_PEOPLE = tuple(f"{who}{mark}" for who in ("患者", "男", "女", "病人") for mark in "，,、 ")
_SHARES = ("% of ", "percent of ", "per cent of ", "probability ", "占")

RULES = (
    Rule("share", Search((*_SHARES, "率为", "率达", "率是", "率约", "性为"), 60, 60, 3), share),
    Rule(
        "clock",
        Search((" a.m", " p.m", " am", " pm", "am ", "pm ", "o'clock", *_TIMES), 20, 20, 3),
        clock,
    ),
    Rule("age", Search((*_AGES, *_PEOPLE), 40, 40, 3), age),
    Rule(
        "coordinates",
        Search(("latitude", "longitude", "lat.", "北纬", "南纬", "东经", "西经"), 20, 30, 2),
        place,
    ),
)
