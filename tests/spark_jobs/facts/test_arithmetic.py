"""Sums and shares, worked out by hand."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.arithmetic import equation, proportion
from headrace.spark_jobs.facts.finding import Finding


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (equation, "We get 2 + 3 × 4 = 14 in the end.", [True]),
        (equation, "We get 2 + 3 × 4 = 20 in the end.", [False]),
        (equation, "所以 9 - 12 = -3。", [True]),
        (equation, "所以 10 ÷ 3 = 3.33。", [True]),
        (equation, "So 1.5 + 1.5 = 4 here.", []),
        (proportion, "It was seen in 10 of 30 patients (33%).", [True]),
        (proportion, "It was seen in 10 of 30 patients (35%).", [False]),
        (proportion, "40例患者中，有10例复发，占25%。", [True]),
        (proportion, "40例患者中，有10例复发，占35%。", [False]),
        (proportion, "It was seen in 30 of 10 patients (33%).", []),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
