"""Changes against their amounts, worked out by hand."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.finding import Finding
from headrace.spark_jobs.facts.growth import direction, percentage


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (percentage, "It went from 80 to 100 units, an increase of 25%.", [True]),
        (percentage, "It went from 80 to 100 units, an increase of 20%.", [False]),
        (percentage, "产量从80吨增长到100吨，增长25%。", [True]),
        (percentage, "产量从80吨增长到100吨，增长35%。", [False]),
        (percentage, "收入100亿元，同比下降50%，上年同期为200亿元。", [True]),
        (percentage, "产量从80吨增长到100吨，年均增长35%。", []),
        (direction, "Sales fell from 80 to 60 last week.", [True]),
        (direction, "Sales fell from 60 to 80 last week.", [False]),
        (direction, "人口由80万下降到60万。", [True]),
        (direction, "人口由60万下降到80万。", [False]),
        (direction, "Losses: a loss rose from 80 to 60.", []),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
