"""What the checks of level 3 find in a text, and when that refutes it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.infra import arrow
from headrace.spark_jobs.facts import (
    arithmetic,
    chronology,
    context,
    dates,
    growth,
    identifiers,
    ranges,
    relations,
    sums,
    units,
)
from headrace.spark_jobs.facts.finding import Finding
from headrace.spark_jobs.kernels.anchors import Anchors
from headrace.spark_jobs.levels.base import Verdict, passed
from headrace.spark_jobs.levels.l3_facts import FACTS, REFUTED, SUPPORTED, UNVERIFIED, FactsSettings
from headrace.spark_jobs.texts import Texts

RULES = (
    *dates.RULES,
    *growth.RULES,
    *arithmetic.RULES,
    *sums.RULES,
    *ranges.RULES,
    *units.RULES,
    *identifiers.RULES,
    *chronology.RULES,
    *relations.RULES,
)
"""All checks. Where several refute a document, the first of them is the reason."""

PER_CHARACTERS = 5_000
"""Characters of text, begun ones included, for which there must be one refuted statement."""


_SPACES = {0xA0: " ", 0x2009: " ", 0x202F: " "}
"""Typographic spaces between a number and its unit, read as plain ones."""


@cache
def _anchors() -> Anchors:
    return Anchors([rule.search for rule in RULES])


def findings(texts: Texts) -> Iterator[tuple[int, int, str, Finding]]:
    """Yield what every check that applied found: text, index of its rule, window, finding.

    What a rule refutes but the text doesn't claim itself is left out.
    """
    data = texts.folded
    for text, number, start, stop in _anchors().find(data, texts.offsets).tolist():
        # A window may cut a character at its ends; what is left of it is dropped.
        while start < stop and data[start] & 0xC0 == 0x80:
            start += 1
        shown = data[start:stop].tobytes().decode("utf-8", "ignore")
        window = shown.translate(_SPACES)
        for finding in RULES[number].check(window):
            at = start + len(shown[: finding.at].encode())
            if finding.supported or _claimed(texts, text, at, finding.says, RULES[number].name):
                yield text, number, window, finding


def _claimed(texts: Texts, text: int, at: int, says: str, rule: str) -> bool:
    """Whether a text itself claims what it says from byte `at` on, by what stands round it."""
    first, last = texts.offsets[text : text + 2].tolist()
    reach = 4 * context.REACH  # bytes of as many characters, at most
    before, after = (
        texts.folded[a:b].tobytes().decode("utf-8", "ignore").translate(_SPACES)
        for a, b in ((max(first, at - reach), at), (at, min(last, at + reach)))
    )
    before = before[-context.REACH :]
    stop = len(before) + len(says)
    around = before + after[: len(says) + context.REACH]
    return context.claimed(around, len(before), stop, rule)


def score(texts: Texts, settings: FactsSettings) -> dict[str, pa.Array[Any]]:
    """Columns `fact_verdict`, `fact_checks` (how many checks applied), and what was refuted."""
    del settings  # verdicts are stored whether they reject or not
    n = len(texts.text)
    checks = np.zeros(n, np.int32)
    refuted: dict[int, dict[str, int]] = {}
    for text, number, _, finding in findings(texts):
        checks[text] += 1
        if not finding.supported:
            # Windows overlap, and a text may say the same twice: a statement counts once.
            refuted.setdefault(text, {}).setdefault(finding.detail, number)
    rule = np.full(n, None, dtype=object)
    detail = np.full(n, None, dtype=object)
    verdict = np.where(checks > 0, SUPPORTED, UNVERIFIED).astype(object)
    for text, wrong in refuted.items():
        if len(wrong) * PER_CHARACTERS < len(texts.text[text].as_py()):
            verdict[text] = UNVERIFIED
            continue
        says, number = min(wrong.items(), key=lambda x: x[1])
        verdict[text], rule[text], detail[text] = REFUTED, RULES[number].name, says
    return {
        "fact_verdict": pa.array(verdict, pa.string()),
        "fact_checks": pa.array(checks),
        "_fact_rule": pa.array(rule, pa.string()),
        "_fact_detail": pa.array(detail, pa.string()),
    }


def decide(table: pa.Table, settings: FactsSettings) -> Verdict:
    """Reject what is refuted, unless the level is switched off."""
    if not settings.enabled:
        return passed(table.num_rows)
    reason = arrow.join(FACTS.name, table["_fact_rule"].combine_chunks(), ".")
    return Verdict(reason, table["_fact_detail"].combine_chunks())
