"""Numbers as texts write them."""

import re

import pytest

from headrace.spark_jobs.facts.quantities import NUMBER, quantity, whole


@pytest.mark.parametrize(
    ("number", "scale", "low", "high"),
    [
        ("12", "", 11.5, 12.5),
        ("1,234.5", "", 1234.45, 1234.55),
        ("1.2", "mn", 1_150_000, 1_250_000),
        ("3", "亿", 2.5e8, 3.5e8),
    ],
)
def test_rounding_leaves_an_interval(number: str, scale: str, low: float, high: float) -> None:
    got = quantity(number, scale)
    assert got.low == pytest.approx(low)
    assert got.high == pytest.approx(high)


def test_a_number_is_never_the_beginning_of_a_longer_one() -> None:
    assert re.findall(NUMBER, "5.36 and 1,234 and 12.") == ["5.36", "1,234", "12"]
    assert re.match(NUMBER + "x", "5.3x")
    assert not re.match(rf"{NUMBER}\.", "5.36")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("二〇二三", 2023),
        ("十", 10),
        ("三十一", 31),
        ("二十", 20),
        ("五", 5),
        ("百", None),
    ],
)
def test_whole_numbers_of_both_scripts(text: str, value: int | None) -> None:
    assert whole(text) == value
