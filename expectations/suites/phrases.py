"""The few kinds of expectation that the suites are made of, by what they say."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.expectations.validation import Expectation


def columns(names: Iterable[str]) -> Expectation:
    """Exactly these columns, in any order."""
    return Expectation(
        "expect_table_columns_to_match_set",
        "has the columns of the contract and no others",
        {"column_set": list(names), "exact_match": True},
    )


def filled(column: str, says: str = "has a value in every row") -> Expectation:
    """No null."""
    return Expectation("expect_column_values_to_not_be_null", says, {"column": column})


def matching(column: str, regex: str, says: str) -> Expectation:
    """Text that a regular expression finds something in; null passes."""
    return Expectation(
        "expect_column_values_to_match_regex", says, {"column": column, "regex": regex}
    )


def among(column: str, values: Iterable[str], says: str) -> Expectation:
    """One of a set; null passes."""
    return Expectation(
        "expect_column_values_to_be_in_set", says, {"column": column, "value_set": list(values)}
    )


def between(
    column: str, low: float | None, high: float | None, says: str, mostly: float = 1.0
) -> Expectation:
    """Expect a number within bounds, both included; null passes."""
    return Expectation(
        "expect_column_values_to_be_between",
        says,
        {"column": column, "min_value": low, "max_value": high, "mostly": mostly},
    )


def distinct(column: str, says: str) -> Expectation:
    """No value twice."""
    return Expectation("expect_column_values_to_be_unique", says, {"column": column})


def equal(left: str, right: str, says: str) -> Expectation:
    """Two columns with the same value in every row."""
    return Expectation(
        "expect_column_pair_values_to_be_equal", says, {"column_A": left, "column_B": right}
    )
