"""Dates and weekdays of the Gregorian calendar."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.dates import impossible, impossible_day, weekday
from headrace.spark_jobs.facts.finding import Finding


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (impossible, "It began on February 29, 2024.", []),
        (impossible, "It began on February 29, 1900.", []),
        (impossible, "It began on February 30, 1900.", [False]),
        (impossible, "It began on February 29, 1901.", [False]),
        (weekday, "It was Sunday, January 14, 1900.", [True]),
        (weekday, "It was Friday, January 14, 1900.", []),  # Julian: January 26
        (weekday, "It was Thursday, January 14, 1900.", [False]),
        (weekday, "2024年3月5日周一鸣教授到校。", []),
        (weekday, "2024年3月5日，周三丰说他不来。", []),
        (weekday, "2024年3月5日周一上午开会。", [False]),
        (weekday, "2024年3月5日周二上午开会。", [True]),
        (impossible, "会议于2100年2月29日召开。", [False]),
        (impossible, "会议于2000年2月29日召开。", []),
        (impossible, "Published 2021-25-12 online.", []),
        (impossible, "It began on April 31, 1799.", []),
        (impossible_day, "于11月31日截止。", [False]),
        (impossible_day, "于12月31日截止。", []),
        (weekday, "It was Saturday, January 1, 2000.", [True]),
        (weekday, "It was Sunday, January 1, 2000.", [False]),
        (weekday, "2000年1月1日（星期六）", [True]),
        (weekday, "2000年1月1日（星期天）", [False]),
        (weekday, "1911年1月1日（星期六）", []),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
