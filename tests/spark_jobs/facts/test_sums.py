"""Totals against the parts beside them."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.finding import Finding
from headrace.spark_jobs.facts.sums import total


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (total, "There were 3 cats, 4 dogs and 5 birds, a total of 12.", [True]),
        (total, "There were 3 cats, 4 dogs and 5 birds, a total of 13.", [False]),
        (total, "There were 3 cats and 4 dogs, a total of 100.", []),
        (total, "共有教师15人、学生30人，共计45人。", [True]),
        (total, "共有教师15人、学生30人，共计46人。", [False]),
        (total, "共有桌子15张、学生30人，共计45人。", []),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
