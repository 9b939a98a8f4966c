"""Statements about countries and elements against packaged triples: capital, currency, continent.

Only sentences that state it in the present ("X is the capital of Y") can be refuted, and only if
both ends are known; "Y's capital X" can only be supported, for old texts say it of old capitals.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict

from headrace.spark_jobs.facts.finding import Finding, Rule, sentence, stated
from headrace.spark_jobs.kernels.anchors import Search

_PAST = re.compile(
    r"\b(?:former|once|was|were|had been|until|then|historic\w*|ancient|medieval|colonial|first"
    r"|dynasty|\d{3,4}s?|empire|kingdom|summer|winter|cultural|film|fictional)\b"
    r"|曾|原|旧|古|当时|前首都|时期|时代|王朝|帝国|迁都|陪都|\d{3,4}年|之一|文化",
    re.IGNORECASE,
)
"""Where these stand in a sentence, it may speak of another time or another kind of capital."""


Lang = Literal["en", "zh"]


class ByLanguage(TypedDict):
    """Names in both languages."""

    en: list[str]
    zh: list[str]


class Shown(TypedDict):
    """A name as it is shown; empty where a language has none."""

    en: str
    zh: str


class Country(ByLanguage):
    """A country by its names."""

    capital: list[str]
    shown: Shown
    """Its capital's name."""
    currency: ByLanguage
    """All that it ever had."""
    continent: str


class Element(TypedDict):
    """A chemical element."""

    en: str
    zh: str
    symbol: str
    number: int


@dataclass(frozen=True)
class Knowledge:
    """What is packed of countries and elements."""

    countries: tuple[Country, ...]
    by_name: dict[str, Country]
    cities: frozenset[str]
    currencies: ByLanguage
    elements: list[Element]

    def country(self, name: str) -> Country | None:
        """Return the country of a name."""
        return self.by_name.get(plain(name)) or self.by_name.get(name)


@cache
def _knowledge() -> Knowledge:
    path = Path(__file__).parents[1] / "levels" / "data" / "l3_facts.json"
    packed = json.loads(path.read_text(encoding="utf-8"))
    countries: tuple[Country, ...] = tuple(packed["countries"].values())
    by_name = {name: c for c in countries for name in (*c["en"], *c["zh"])}
    cities = frozenset(packed["cities"])
    return Knowledge(countries, by_name, cities, packed["currencies"], packed["elements"])


def plain(name: str) -> str:
    """`name` in lower case without accents and without `the`."""
    folded = unicodedata.normalize("NFKD", name)
    bare = "".join(c for c in folded if not unicodedata.combining(c)).strip().lower()
    return bare.removeprefix("the ")


@cache
def _names(lang: Lang) -> str:
    """Alternatives of all country names of a language, long ones first."""
    names = {n for c in _knowledge().countries for n in c[lang]}
    return "|".join(re.escape(n) for n in sorted(names, key=lambda n: (-len(n), n)))


_WORD = r"(?:(?:St|Ste|Mt|Ft|Pt|Sta|Sto)\.|(?:[A-Z]\.)+|[A-Z][\w'’-]*)"
"""A word of a name; a full stop belongs to it only in an abbreviation, else a sentence ends."""
_CITY = rf"(?P<city>{_WORD}(?: (?:de |la |el |al-|of )?{_WORD}){{0,3}})"
_HAN_CITY = r"(?P<city>[\u4e00-\u9fff]{2,8})"


@cache
def _capital_patterns() -> tuple[tuple[re.Pattern[str], bool], ...]:
    """Patterns, and whether they state it in the present."""
    en, zh = f"(?:the )?(?P<country>(?i:{_names('en')}))", f"(?P<country>{_names('zh')})"
    end = r"(?=[.,;:!?)\n]|$| and (?:the|its|one)\b)"
    capital = r"(?:national )?capital(?: city)?(?: and (?:the )?[a-z-]+(?: [a-z-]+){0,3})?"
    return (
        (re.compile(rf"{_CITY} is the {capital} of {en}{end}"), True),
        (re.compile(rf"[Tt]he {capital} of {en} is (?:the city of )?{_CITY}"), True),
        (re.compile(rf"\b{en}['’]s {capital} is (?:the city of )?{_CITY}"), True),
        (re.compile(rf"{_CITY} is {en}['’]s {capital}{end}"), True),
        (re.compile(rf"{_CITY}, the {capital} of {en}{end}"), False),
        (re.compile(rf"{_HAN_CITY}是{zh}的?首都"), True),
        (re.compile(rf"{zh}的?首都(?:是|为|位于|设在){_HAN_CITY}"), True),
        (re.compile(rf"{zh}以{_HAN_CITY}为首都"), True),
        (re.compile(rf"{zh}首都{_HAN_CITY}"), False),
    )


def _city(run: str, known: frozenset[str], capital: list[str], first: bool) -> str:
    """Find the city at the beginning (or end) of a run of words or Han characters; "" if none."""
    if not re.match(r"[\u4e00-\u9fff]", run):
        return plain(run.rstrip("."))
    parts = range(min(8, len(run)), 1, -1)
    for part in (run[:n] if first else run[-n:] for n in parts):
        if part in capital or part in known:
            return part
    return ""


def capital(text: str) -> Iterator[Finding]:
    """Which city is the capital of a country."""
    know = _knowledge()
    for pattern, present in _capital_patterns():
        for match in pattern.finditer(text):
            name = match["country"]
            country = know.country(name)
            if country is None or not country["capital"]:
                continue
            after = match.start("country") < match.start("city")
            city = _city(match["city"], know.cities, country["capital"], after)
            if not city:
                continue
            if city in country["capital"]:
                yield Finding(True, match[0], match[0], match.start())
            # A run of Han characters must be the name alone: more may be a longer name.
            elif (
                present
                and city in know.cities
                and (city.isascii() or city == match["city"])
                and not _PAST.search(sentence(text, *match.span()))
                and stated(text, *match.span())
            ):
                yield Finding(
                    False,
                    match[0],
                    f"the capital of {name} is {_shown(country, name)}",
                    match.start(),
                )


def _shown(country: Country, name: str) -> str:
    """Return a capital's name in the script of its country's `name`."""
    shown = country["shown"]
    return shown["en"] if name.isascii() else shown["zh"] or shown["en"]


@cache
def _currency_patterns() -> tuple[re.Pattern[str], ...]:
    en, zh = f"(?P<country>(?i:{_names('en')}))", f"(?P<country>{_names('zh')})"
    known = sorted(_knowledge().currencies["zh"], key=lambda n: (-len(n), n))
    units = "|".join(map(re.escape, known))
    unit = r"(?P<unit>[A-Za-z]+(?: [a-z]+)?)(?=[.,;)\n ]|$)"
    return (
        re.compile(rf"currency of (?:the )?{en} is the {unit}"),
        re.compile(rf"{en}'s (?:official |national )?currency is the {unit}"),
        re.compile(rf"{zh}的?(?:官方|法定|流通)?货币(?:单位)?(?:是|为)(?P<unit>{units})"),
    )


def currency(text: str) -> Iterator[Finding]:
    """Which currency a country has; any that it ever had passes."""
    know = _knowledge()
    nouns = {n.split()[-1] for n in know.currencies["en"]}
    for pattern in _currency_patterns():
        for match in pattern.finditer(text):
            name = match["country"]
            country = know.country(name)
            had = country["currency"] if country else None
            if not had or not (had["en"] or had["zh"]):
                continue
            if match["unit"].isascii():
                words = plain(match["unit"]).split()
                unit = next((w for w in reversed(words) if w in nouns), "")
                own = {word for n in had["en"] for word in n.split()}
                if not unit:
                    continue
                right = unit in own or unit.rstrip("s") in own
            else:
                unit, own = match["unit"], set(had["zh"])
                right = any(unit in n or n in unit or unit[-2:] == n[-2:] for n in own)
            past = _PAST.search(sentence(text, *match.span()))
            if right or (not past and stated(text, *match.span())):
                kinds = had["en"] if match["unit"].isascii() else had["zh"]
                yield Finding(
                    right, match[0], f"{name} has or had {', '.join(kinds)}", match.start()
                )


_ZH_CONTINENT = {"非洲": "africa", "亚洲": "asia", "欧洲": "europe", "北美洲": "north america",
                 "南美洲": "south america", "大洋洲": "oceania"}  # fmt: skip


_IN_EN = re.compile(
    r" is an? (?:[a-z-]+ ){0,3}(?:country|nation|republic)(?: located| situated)? (?:in|of) "
    r"(?:the )?"
    r"(?i:[a-z-]*(?:north|south|east|west|central)[a-z-]* )?"
    rf"(?P<where>{'|'.join(name.title() for name in _ZH_CONTINENT.values())})\b"
)
_SUBJECT = re.compile(r"\W*(?P<country>[A-Z][\w' .-]+?)(?:,.*| \([^()]*\))?$")
_IN_ZH = re.compile(
    r"(?<![\u4e00-\u9fff])(?P<country>[\u4e00-\u9fff]{2,9}?)(?:是|位于|地处)(?:一个)?(?:位于)?"
    rf"(?:[东西南北中]{{1,2}}部?)?(?P<where>{'|'.join(_ZH_CONTINENT)})"
)


def continent(text: str) -> Iterator[Finding]:
    """On which continent a country lies."""
    know = _knowledge()
    for pattern in (_IN_EN, _IN_ZH):
        for match in pattern.finditer(text):
            if pattern is _IN_EN:
                clause = sentence(text, *match.span()).partition(match[0])[0]
                subject = _SUBJECT.match(clause)
                name = subject["country"] if subject else ""
            else:
                name = match["country"]
            country = know.country(name)
            true = country["continent"] if country else ""
            if not true:
                continue
            where = _ZH_CONTINENT.get(match["where"], match["where"].lower())
            if where == true or stated(text, *match.span()):
                says = f"{name} {match[0].strip().removeprefix(name)}"
                yield Finding(where == true, says, f"{name} is in {true.title()}", match.start())


_ELEMENT = (
    re.compile(
        r"\b(?P<en>[A-Z][a-z]+) is (?:a|the) (?:[a-z]+ ){0,3}element (?:that has |with )"
        r"(?:the )?(?:chemical )?symbol (?P<symbol>[A-Z][a-z]?)\b"
        r"(?:[^.]{0,40}? and (?:an |the )?atomic number (?P<number>\d{1,3}))?"
    ),
    re.compile(
        r"(?P<zh>[\u4e00-\u9fff])(?:是一种|（|\()[^。]{0,30}?(?:元素|化学)符号(?:是|为)?\s?"
        r"(?P<symbol>[A-Z][a-z]?)(?![A-Za-z])"
        r"(?:[，,、；]\s?[^。，,]{0,4}原子序数(?:是|为)?\s?(?P<number>\d{1,3}))?"
    ),
)


def element(text: str) -> Iterator[Finding]:
    """Symbol and atomic number of a chemical element."""
    elements = _knowledge().elements
    for pattern in _ELEMENT:
        for match in pattern.finditer(text):
            lang: Lang = "en" if "en" in match.groupdict() else "zh"
            true = next((e for e in elements if e[lang] == match[lang].lower()), None)
            if not true or not true[lang]:
                continue
            right = match["symbol"] == true["symbol"]
            right = right and match["number"] in (None, str(true["number"]))
            if right or stated(text, *match.span()):
                truth = f"{match[lang]} is {true['symbol']}, number {true['number']}"
                yield Finding(right, match[0], truth, match.start())


RULES = (
    Rule(
        "capital",
        Search(
            (
                "capital of",
                "capital city of",
                "the capital and",
                "'s capital",
                "’s capital",
                "首都",
            ),
            120,
            80,
            0,
        ),
        capital,
    ),
    Rule(
        "currency",
        Search(("currency of", "currency is", "货币是", "货币为", "货币单位"), 60, 60, 0),
        currency,
    ),
    Rule(
        "continent",
        Search((" country ", " nation ", " republic ", *_ZH_CONTINENT), 160, 70, 0),
        continent,
    ),
    Rule(
        "element",
        Search(("element with", "element that has", "元素符号", "化学符号"), 80, 90, 0),
        element,
    ),
)
