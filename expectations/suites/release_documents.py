"""What must hold of a release's kept documents."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.expectations.stated import CurationConfig, Section, number, numbers, switch, words
from headrace.expectations.suites.phrases import among, between, columns, distinct, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.level_facts import Column, Count, Label, LevelFacts, Score, scores
from headrace.infra.schemas import scored

_ROUNDING = 1e-6
"""Scores are stored as 32-bit floats, thresholds are 64-bit ones."""


def expectations(config: CurationConfig, levels: Sequence[LevelFacts]) -> tuple[Expectation, ...]:
    """Return expectations on the columns of a kept document, and on its `Score.excess`, if any.

    Args:
        config: the settings of the curation, as the manifest has them.
        levels: that the release was made by.
    """
    excesses = [score.excess for score in scores(levels) if score.per]
    out = [
        columns([*scored(levels).names, *excesses]),
        filled("id"),
        filled("text"),
        matching("text", r"\S", "is not blank"),
        filled("source"),
        between("position", 1, None, "counts from 1"),
        filled("lang"),
        among("lang", words(config["input"], "languages"), "is a language that is kept"),
        filled("domain"),
        filled("content_hash"),
        matching("content_hash", r"\A[0-9a-f]{32}\Z", "is a 128-bit hash in hex"),
        between("lang_score", 0, 1, "is a share"),
    ]
    for level in levels:
        for column in level.columns:
            out += _filled_by(column, config[level.name])
    if switch(config["dedup"], "enabled"):
        out.append(distinct("content_hash", "names one kept document only"))
    return tuple(out)


def _filled_by(column: Column, settings: Section) -> list[Expectation]:
    """Return expectations on a level's column, by the level's settings."""
    match column:
        case Score():
            return [
                filled(column.name),
                between(column.name, 0, 1, "is a share"),
                *_bounded(column, settings),
            ]
        case Label():
            rejects = not column.switch or switch(settings, column.switch)
            kept = [v for v in column.values if not (rejects and v in column.rejected)]
            return [filled(column.name), among(column.name, kept, "is a verdict that is kept")]
        case Count():
            return [between(column.name, 0, None, "is a count")]


def _bounded(score: Score, settings: Section) -> list[Expectation]:
    above, column = score.keeps == "above", score.name
    if not score.threshold:
        return []
    if score.per:
        threshold, column, of = 0.0, score.excess, f"its target {score.per}"
        among_targets = list(numbers(settings, score.threshold))
        targets = [among(score.per, among_targets, f"is a target {score.per}")]
    else:
        threshold, of, targets = number(settings, score.threshold), "what is kept", []
    side = "reaches" if above else "stays below"
    low, high = (threshold - _ROUNDING, None) if above else (None, threshold + _ROUNDING)
    return [*targets, between(column, low, high, f"{side} the threshold of {of}")]
