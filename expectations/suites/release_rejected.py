"""What must hold of a release's rejected records."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.expectations.suites.phrases import among, between, columns, equal, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.level_facts import Label, LevelFacts, places, scores
from headrace.infra.schemas import rejected_file


def expectations(levels: Sequence[LevelFacts]) -> tuple[Expectation, ...]:
    """Return expectations on the columns of a file, `level`, and `reason_level`: the reason's part.

    Args:
        levels: that the release was made by.
    """
    return (
        columns([*rejected_file(levels).names, "level", "reason_level"]),
        filled("id"),
        filled("source"),
        between("position", 1, None, "counts from 1"),
        among("level", places(levels), "is a level of the contract"),
        filled("reason"),
        matching("reason", r"\A[a-z]+\.[a-z0-9_.-]+\Z", "is written <level>.<rule>"),
        equal("reason_level", "level", "names the level of its folder"),
        *[
            between(name, 0, 1, "is a share")
            for name in ("lang_score", *(score.name for score in scores(levels)))
        ],
        *[
            among(column.name, column.values, "is a verdict")
            for level in levels
            for column in level.columns
            if isinstance(column, Label)
        ],
    )
