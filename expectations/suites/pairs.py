"""What must hold of data for alignment: instructions, preferences and prompts."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.expectations.suites.phrases import between, filled, matching
from headrace.expectations.validation import Expectation

MOST_REPEATED = 0.5
"""Share of records that may repeat an earlier one; a repeat only gives a record more weight."""


def expectations(columns: Sequence[str]) -> tuple[Expectation, ...]:
    """Return expectations on text columns, `repeated` (0 or 1), and `alike` of two answers.

    Args:
        columns: prompt; prompt, response; or prompt, chosen, rejected.
    """
    out = []
    for column in columns:
        out += [filled(column), matching(column, r"\S", "is not blank")]
    if "chosen" in columns:
        out.append(between("alike", 0, 0, "has a chosen answer that is not the rejected one"))
    says = f"repeats an earlier record in at most {MOST_REPEATED:.0%} of all"
    out.append(between("repeated", 0, 0, says, mostly=1 - MOST_REPEATED))
    return tuple(out)
