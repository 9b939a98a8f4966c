"""Dates that the Gregorian calendar doesn't have, and dates against the weekday beside them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, stated
from headrace.spark_jobs.facts.quantities import whole
from headrace.spark_jobs.kernels.anchors import Search

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH_OF = {name[:n]: i for i, name in enumerate(_MONTHS, 1) for n in (3, len(name))}
_MONTH_OF["sept"] = 9
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ZH_WEEKDAYS = "一二三四五六日"
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_LEAP_IN_JULIAN = {(1800, 2, 29), (1900, 2, 29)}
"""Days of the Julian calendar, which Russia and Greece wrote until 1918 and 1923."""
FIRST_YEAR = 1800
"""Dates before it may be Julian (Russia's and China's lasted longer: see `_WEEKDAY_FROM`)."""
_WEEKDAY_FROM = 1912
"""China took the Gregorian calendar in 1912; English texts are checked from FIRST_YEAR on."""

_MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})(?!\d)"
_EN = (
    re.compile(rf"(?<![\w.]){_MONTH} {_DAY},? {_YEAR}"),
    re.compile(rf"(?<![\w./:]){_DAY}(?: of)? {_MONTH},? {_YEAR}"),
)
_ISO = re.compile(r"(?<![\w./:-])(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?![\w/-])")
_N = r"\d{1,2}|[一二三四五六七八九十]{1,3}"
_ZH = re.compile(
    rf"(?<![\d〇零○一二三四五六七八九.])(?P<year>[12]\d{{3}}|[一二][〇零○一二三四五六七八九]{{3}})"
    rf"\s?年\s?(?P<month>{_N})\s?月\s?(?P<day>{_N})\s?[日号]"
)
_ZH_BARE = re.compile(r"(?<![\d年./-])(?<!年 )(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号](?!线)")


def _date(match: re.Match[str]) -> tuple[int, int, int] | None:
    """Year, month, day of a match; None where it is no date by its numbers' form."""
    year = whole(match["year"])
    name = match["month"].lower()
    month = _MONTH_OF.get(name) or whole(name)
    day = whole(match["day"])
    return None if year is None or month is None or day is None else (year, month, day)


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def _why(year: int, month: int, day: int) -> str:
    if not 1 <= month <= 12:
        return f"there is no month {month}"
    if 1 <= day <= 31:
        last = next(d for d in (31, 30, 29, 28) if _exists(year, month, d))
        return f"month {month} of {year} has {last} days"
    return f"there is no day {day}"


def impossible(text: str) -> Iterator[Finding]:
    """Dates with a year that don't exist. One that exists is no evidence: it gives no finding."""
    for pattern in (*_EN, _ZH, _ISO):
        for match in pattern.finditer(text):
            date = _date(match)
            if not date or _exists(*date) or not FIRST_YEAR <= date[0] <= 2200:
                continue
            # Month and day change places with some (2021-25-12), and 0 stands for unknown.
            if (pattern is _ISO and date[1] > 12) or 0 in date:
                continue
            if date in _LEAP_IN_JULIAN:
                continue
            # 1930 and 1931 had a 30 February in the Soviet calendar, 1712 in Sweden's.
            if stated(text, *match.span()):
                yield Finding(False, match[0], _why(*date), match.start())


def impossible_day(text: str) -> Iterator[Finding]:
    """Chinese dates without a year that no year has; lunar months have 30 days at most."""
    for match in _ZH_BARE.finditer(text):
        month, day = int(match["month"]), int(match["day"])
        if not 1 <= month <= 12 or day != 31 or _LENGTHS[month - 1] == 31:
            continue
        if stated(text, *match.span()):
            yield Finding(
                False, match[0], f"month {month} has {_LENGTHS[month - 1]} days", match.start()
            )


_EN_DAY = r"(?P<weekday>Mon|Tues?|Wed(?:nes)?|Thu(?:rs?)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_ZH_DAY = (
    r"(?:星期|周|礼拜)(?P<weekday>[一二三四五六日天])(?![至到、—~～-])"
    # 周 is a surname as well (周一鸣, 周三丰): then what follows is a name and continues with none
    # of these.
    r"(?:(?<=[期拜].)|(?![\u4e00-\u9fff])|(?=[的起前后在举召为是将]|[上下中]午|早[上晨间]|晚[上间]"
    r"|凌晨|午[夜后]|夜[间里]|当[天日晚]|清晨|傍晚|黎明|深夜|开[始幕会业放学庭工盘]|正式|宣布|发布|表示))"
)
_JULIAN_UNTIL = 1930
"""Russia, Greece and others wrote Julian dates until then."""
_EN_WEEKDAY = (
    re.compile(rf"\b{_EN_DAY}[.,]{{0,2}} (?:the )?{_MONTH} {_DAY},? {_YEAR}"),
    re.compile(rf"\b{_EN_DAY}[.,]{{0,2}} (?:the )?{_DAY}(?: of)? {_MONTH},? {_YEAR}"),
    re.compile(rf"(?<![\w.]){_MONTH} {_DAY},? {_YEAR} ?\({_EN_DAY}\)"),
    re.compile(rf"(?<![\w./:-]){_DAY}(?: of)? {_MONTH},? {_YEAR} ?\({_EN_DAY}\)"),
    re.compile(
        rf"(?<![\w.]){_MONTH} {_DAY},? {_YEAR},? (?:was|is|falls on|fell on) an? {_EN_DAY}\b"
    ),
)
_ISO_WEEKDAY = (
    re.compile(rf"{_ISO.pattern}(?: \d\d:\d\d(?::\d\d)?)?,? ?[(（]?{_EN_DAY}\b"),
    re.compile(rf"\b{_EN_DAY}[)）]?,? {_ISO.pattern}"),
    re.compile(rf"{_ISO.pattern}\s?[(（]?{_ZH_DAY}"),
)
_ZH_WEEKDAY = (
    re.compile(rf"{_ZH.pattern}\s?[(（,，]?\s?{_ZH_DAY}"),
    re.compile(rf"{_ZH.pattern}(?:是|为|正值|适逢|恰逢){_ZH_DAY}"),
    re.compile(rf"{_ZH_DAY}\s?[(（,，]\s?{_ZH.pattern}"),
)


def _weekday_of(name: str) -> int:
    if name in "一二三四五六日天":
        return _ZH_WEEKDAYS.index(name.replace("天", "日"))
    return next(i for i, day in enumerate(_WEEKDAYS) if day[:3] == name[:3].lower())


def _julian_weekday(year: int, month: int, day: int) -> int:
    """Return the weekday of a date of the 19th and 20th century if it is a Julian one."""
    behind = 12 if (year, month) < (1900, 3) else 13
    return (datetime.date(year, month, day).weekday() + behind) % 7


def weekday(text: str) -> Iterator[Finding]:
    """Dates with a year and a weekday: supported where they agree, refuted where they don't."""
    for pattern in (*_EN_WEEKDAY, *_ISO_WEEKDAY, *_ZH_WEEKDAY):
        for match in pattern.finditer(text):
            date = _date(match)
            chinese = match["weekday"] in "一二三四五六日天"
            first = _WEEKDAY_FROM if chinese else FIRST_YEAR
            if not date or not _exists(*date) or not first <= date[0] <= 2200:
                continue
            said = _weekday_of(match["weekday"])
            true = datetime.date(*date).weekday()
            if date[0] < _JULIAN_UNTIL and said != true and said == _julian_weekday(*date):
                continue
            name = f"星期{_ZH_WEEKDAYS[true]}" if chinese else _WEEKDAYS[true].capitalize()
            when = "-".join(f"{n:02}" for n in date)
            if said == true or stated(text, *match.span()):
                yield Finding(said == true, match[0], f"{when} is a {name}", match.start())


def _odd_days() -> Iterator[tuple[int, int]]:
    """Months with days that some or all years lack."""
    for month, length in enumerate(_LENGTHS, 1):
        yield from ((month, day) for day in range(length + 1, 36))
    yield 2, 29


def _impossible_anchors() -> tuple[str, ...]:
    chinese = [f"月{day}" for day in range(29, 100)] + [f"月 {day}" for day in range(29, 40)]
    chinese += [f"年{month}月" for month in range(13, 100)] + ["月三十", "月二十九", "年十三月"]
    english = [
        anchor
        for month, day in _odd_days()
        for name in {_MONTHS[month - 1], _MONTHS[month - 1][:3]}
        for anchor in (f"{name} {day}", f"{name}. {day}", f"{day} {name}", f"{day} of {name}")
    ]
    english += [
        f"{day}{nth} {of}{_MONTHS[month - 1]}"
        for month, day in _odd_days()
        for nth in ("st", "nd", "rd", "th")
        for of in ("", "of ")
    ]
    iso = [f"-{month:02}-{day}" for month, day in _odd_days()]
    return (*chinese, *sorted(english), *iso)


_EN_WEEKDAYS = tuple(
    form for name in _WEEKDAYS for form in (name, f"{name[:3]},", f"({name[:3]})", f"{name[:3]} ")
)
_ZH_WEEKDAYS_LONG = ("星期", "礼拜", *(f"周{day}" for day in _ZH_WEEKDAYS))

RULES = (
    Rule("date_impossible", Search(_impossible_anchors(), 90, 60, 0), impossible),
    Rule(
        "day_impossible",
        Search(tuple(f"{month}月31" for month in (2, 4, 6, 9, 11)), 90, 60, 3),
        impossible_day,
    ),
    Rule("weekday", Search((*_EN_WEEKDAYS, *_ZH_WEEKDAYS_LONG), 60, 60, 5), weekday),
)
