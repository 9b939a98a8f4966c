"""Order of years: births, deaths, ages."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.chronology import order
from headrace.spark_jobs.facts.finding import Finding


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (order, "She was born in 1900 and died in 1950 aged 50.", [True]),
        (order, "She was born in 1900 and died in 1950 aged 52.", [False]),
        (order, "她生于1900年，卒于1950年，享年51岁。", [True]),
        (order, "她生于1900年，卒于1950年，享年53岁。", [False]),
        (order, "She was born in 1800 and died in 1950.", [False]),
        (order, "王某（1850年－1920年）", []),
        (order, "从1990年到1985年", [False]),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
