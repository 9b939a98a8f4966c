"""What must hold of packed token rows, judged a file at a time by the extremes of its rows."""

from __future__ import annotations

from headrace.expectations.suites.phrases import between, equal, filled
from headrace.expectations.validation import Expectation


def expectations(sequence_length: int, vocabulary: int) -> tuple[Expectation, ...]:
    """Return expectations on `path`, `nulls` and the least and largest of lengths, ids and starts.

    Args:
        sequence_length: tokens of every row.
        vocabulary: number of token ids.
    """
    return (
        filled("path"),
        between("nulls", 0, 0, "has no null row, id or document start"),
        between("least_length", sequence_length, sequence_length, "has rows of exact length"),
        between("largest_length", sequence_length, sequence_length, "has rows of exact length"),
        between("least_id", 0, None, "has ids of the vocabulary"),
        between("largest_id", None, vocabulary - 1, "has ids of the vocabulary"),
        between("least_start", 0, None, "has document starts within the row"),
        between("largest_start", None, sequence_length - 1, "has document starts within the row"),
        equal("starts", "boundaries", "starts a document at each boundary token and nowhere else"),
        between("unordered", 0, 0, "has document starts in rising order"),
    )
