"""Quantities at and beyond the ends of what they can be."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.finding import Finding
from headrace.spark_jobs.facts.ranges import age, clock, place, share


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (share, "It accounts for 100% of the total.", []),
        (share, "It accounts for 101% of the total.", [False]),
        (share, "It accounts for 201% of the total.", []),
        (share, "女性占全部人数的比例为101%。", [False]),
        (clock, "会议于上午24:00结束。", []),
        (clock, "会议于上午24:01结束。", [False]),
        (clock, "It opened at 9:60 a.m. sharp.", [False]),
        (age, "A 130-year-old man came in.", []),
        (age, "A 131-year-old man came in.", [False]),
        (age, "患者，131岁。", [False]),
        (place, "at latitude 90 degrees", []),
        (place, "at latitude 91 degrees", [False]),
        (place, "东经180度", []),
        (place, "东经181度", [False]),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
