"""Measures against their conversion in brackets: 100 km (62 miles), 20 °C (68 °F)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, stated
from headrace.spark_jobs.facts.quantities import EN_SCALE, NUMBER, Quantity, quantity
from headrace.spark_jobs.kernels.anchors import Search

_UNITS = {
    # kind: {unit: (factor to the kind's base, names)}
    "length": {
        1000.0: ("km", "kilometers", "kilometres", "kilometer", "kilometre", "公里", "千米"),
        1609.344: ("mi", "miles", "mile", "英里"),
        1.0: ("m", "meters", "metres", "meter", "metre", "米"),
        0.3048: ("ft", "feet", "foot", "英尺"),
        0.01: ("cm", "centimeters", "centimetres", "厘米"),
        0.0254: ("in", "inches", "inch", "英寸"),
        0.9144: ("yards", "yd", "码"),
        0.001: ("mm", "millimeters", "millimetres", "毫米"),
    },
    "mass": {
        1.0: ("kg", "kilograms", "kilogram", "公斤", "千克"),
        0.45359237: ("lb", "lbs", "pounds", "磅"),
        0.001: ("g", "grams", "克"),
        0.028349523: ("oz", "ounces", "盎司"),
    },
    "area": {
        1e6: ("km2", "km²", "square kilometers", "square kilometres", "平方公里", "平方千米"),
        2589988.11: ("sq mi", "mi2", "square miles", "平方英里"),
        1e4: ("ha", "hectares", "公顷"),
        4046.8564: ("acres", "acre", "英亩"),
        1.0: ("m2", "m²", "square meters", "square metres", "平方米"),
        0.09290304: ("sq ft", "square feet", "平方英尺"),
    },
    "speed": {1.0: ("km/h", "kph"), 1.609344: ("mph",)},
}
_KIND = {n: (kind, f) for kind, us in _UNITS.items() for f, names in us.items() for n in names}
_NAMES = "|".join(re.escape(n) for n in sorted(_KIND, key=len, reverse=True))
_PAIR = re.compile(
    rf"(?<![\d.,/$€£–—~～⁄½¼¾+-])(?<!\d )(?P<a>{NUMBER})"
    rf"(?: ?(?P<as>{EN_SCALE}))?[ -]?(?P<au>{_NAMES})"
    rf" ?[(（](?:about |approximately |approx\.? |around |roughly |or |约|合|约合|~|≈)? ?"
    rf"(?P<b>{NUMBER})(?: ?(?P<bs>{EN_SCALE}))? ?(?P<bu>{_NAMES})[)）]"
)
_COMPOUND = re.compile(r"\d\s?(?:ft|feet|foot|lb|lbs|pounds|′|'|m|stone|st|英尺|米)[ ,]*(?:and )?$")
"""5 ft 10 in: the number is the smaller part only."""
_SIGNED, _SCALES = r"[-−]?\d+(?:\.\d+)?", r"[CF]|Celsius|Fahrenheit"
_DEGREES = re.compile(
    rf"(?<![\d.–~～])(?P<a>{_SIGNED}) ?(?:°|degrees )? ?(?P<au>{_SCALES})\b"
    rf" ?[(（](?:about )?(?P<b>{_SIGNED}) ?(?:°|degrees )? ?(?P<bu>{_SCALES})[)）]"
)
TOLERANCE = 0.12
"""Relative; conversions are rounded freely ("100 miles (160 km)"), and wrong ones are far off."""
TOLERANCE_DEGREES, TOLERANCE_OVEN = 3.0, 0.03
"""Degrees Fahrenheit beyond rounding, and a share of them: recipes write 350 °F (180 °C)."""


def _rounded(number: str, scale: str | None) -> Quantity:
    """Return a quantity; one that ends in three zeros or more need not be exact in any of them."""
    exact = quantity(number, scale or "")
    digits = number.replace(",", "")
    zeros = len(digits) - len(digits.rstrip("0")) if "." not in digits else 0
    half = 0.5 * 10**zeros if zeros >= 3 else 0.0
    return Quantity(exact.low - half, exact.high + half)


def conversion(text: str) -> Iterator[Finding]:
    """Check a length, mass, area or speed with its conversion in brackets."""
    for match in _PAIR.finditer(text):
        (kind, factor), (kind_b, factor_b) = _KIND[match["au"]], _KIND[match["bu"]]
        before = text[max(0, match.start() - 14) : match.start()]
        if kind != kind_b or factor == factor_b or _COMPOUND.search(before):
            continue
        if before.rstrip().endswith(
            (" to", " and", " or", "至", "到", " by", "×", " x", "between")
        ):
            continue
        first, second = _rounded(match["a"], match["as"]), _rounded(match["b"], match["bs"])
        low, high = first.low * factor, first.high * factor
        right = second.low * factor_b <= high * (
            1 + TOLERANCE
        ) and second.high * factor_b >= low * (1 - TOLERANCE)
        if right or stated(text, *match.span()):
            true = first.value * factor / factor_b
            yield Finding(
                right,
                match[0],
                f"{match['a']} {match['au']} is {true:.4g} {match['bu']}",
                match.start(),
            )


def temperature(text: str) -> Iterator[Finding]:
    """Degrees Celsius and Fahrenheit, one in brackets after the other."""
    for match in _DEGREES.finditer(text):
        kinds = match["au"][0], match["bu"][0]
        if kinds[0] == kinds[1]:
            continue
        a, b = (float(match[k].replace("−", "-")) for k in ("a", "b"))
        celsius, fahrenheit = (a, b) if kinds[0] == "C" else (b, a)
        true = celsius * 9 / 5 + 32
        # A difference of temperatures converts without the 32.
        allowed = max(TOLERANCE_DEGREES, TOLERANCE_OVEN * abs(fahrenheit))
        right = abs(true - fahrenheit) <= allowed
        spread = abs(celsius * 9 / 5 - fahrenheit) <= allowed
        if right or (not spread and stated(text, *match.span())):
            yield Finding(right, match[0], f"{celsius:g} °C is {true:.4g} °F", match.start())


_BRACKETS = ("(", "（")
_DEGREE_NAMES = ("°c", "°f", "° c", "° f", "celsius", "fahrenheit", "degrees c", "degrees f")
RULES = (
    Rule(
        "conversion",
        Search(
            tuple(
                f"{name}{space}{bracket}"
                for name in _KIND
                for space in ("", " ")
                for bracket in _BRACKETS
            ),
            50,
            40,
            2,
        ),
        conversion,
    ),
    Rule(
        "temperature",
        Search(
            tuple(
                f"{unit}{space}{bracket}"
                for unit in (
                    "°c",
                    "°f",
                    "° c",
                    "° f",
                    "celsius",
                    "fahrenheit",
                    "degrees c",
                    "degrees f",
                )
                for space in ("", " ")
                for bracket in _BRACKETS
            ),
            40,
            40,
            2,
        ),
        temperature,
    ),
)
