"""What must hold of a release's kept documents."""

from __future__ import annotations

from headrace.expectations.stated import CurationConfig
from headrace.expectations.suites.phrases import among, between, columns, distinct, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.schemas import SCORED

_ROUNDING = 1e-6
"""Scores are stored as 32-bit floats, thresholds are 64-bit ones."""


def expectations(config: CurationConfig) -> tuple[Expectation, ...]:
    """Expectations on SCORED columns, and `over_target`: domain_score less its target's threshold.

    Args:
        config: the settings of the curation, as the manifest has them.
    """
    out = [
        columns([*SCORED.names, "over_target"]),
        filled("id"),
        filled("text"),
        matching("text", r"\S", "is not blank"),
        filled("source"),
        between("position", 1, None, "counts from 1"),
        filled("lang"),
        among("lang", config["input"]["languages"], "is a language that is kept"),
        filled("domain"),
        among("domain", config["domain"]["targets"], "is a target domain"),
        filled("content_hash"),
        matching("content_hash", r"\A[0-9a-f]{32}\Z", "is a 128-bit hash in hex"),
        between("lang_score", 0, 1, "is a share"),
        filled("semantic_score"),
        between("semantic_score", 0, 1, "is a share"),
        between(
            "semantic_score",
            config["semantics"]["threshold"] - _ROUNDING,
            None,
            "reaches the threshold of what is kept",
        ),
        filled("bias_score"),
        between("bias_score", 0, 1, "is a share"),
        between(
            "bias_score",
            None,
            config["bias"]["threshold"] + _ROUNDING,
            "stays below the threshold of what is kept",
        ),
        filled("domain_score"),
        between("domain_score", 0, 1, "is a share"),
        between("over_target", -_ROUNDING, None, "reaches the threshold of its target domain"),
        filled("fact_verdict"),
        among(
            "fact_verdict",
            ["supported", "unverified", *([] if config["facts"]["enabled"] else ["refuted"])],
            "is a verdict that is kept",
        ),
        between("fact_checks", 0, None, "is a count"),
    ]
    if config["dedup"]["enabled"]:
        out.append(distinct("content_hash", "names one kept document only"))
    return tuple(out)
