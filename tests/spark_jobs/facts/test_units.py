"""Conversions in brackets, worked out by hand."""

from collections.abc import Callable, Iterator

import pytest

from headrace.spark_jobs.facts.finding import Finding
from headrace.spark_jobs.facts.units import conversion, temperature


@pytest.mark.parametrize(
    ("check", "text", "supported"),
    [
        (conversion, "It weighs 10 kg (22 lb).", [True]),
        (conversion, "It weighs 10 kg (44 lb).", [False]),
        (conversion, "长约10英里（16公里）。", [True]),
        (conversion, "长约10英里（26公里）。", [False]),
        (conversion, "It weighs 10 kg (22 ft).", []),
        (temperature, "It was -40 °C (-40 °F).", [True]),
        (temperature, "It was 30 °C (60 °F).", [False]),
        (temperature, "It rose by 10 °C (18 °F).", []),
    ],
)
def test_findings(
    check: Callable[[str], Iterator[Finding]], text: str, supported: list[bool]
) -> None:
    assert [finding.supported for finding in check(text)] == supported
