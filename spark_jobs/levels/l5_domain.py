"""Level 5: says which domains a text reaches: general, legal, medical, financial, or none.

A hashed logistic model over n-grams of words and Chinese characters has one output per domain, each
its own score in [0, 1]: a text can reach several, or none (chat, reviews, code). The text is
kept where at least one target's threshold is reached, and assigned to the best of those reached;
where none is, `domain` names the best of all targets.

A few words are weak evidence that a text belongs nowhere. General, the class of whatever is about
nothing special, is lifted toward the even point .5, and never beyond it, by what its score strays
in sound text of so few n-grams: a short text is general unless much speaks against it, and one
that reaches another domain stays there.

Weights: data/l5_domain.npz, made by `python -m headrace.spark_jobs.fit.domain` (data/l5_domain.md
says from what).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings
from headrace.infra.level_facts import Score
from headrace.spark_jobs.levels.base import Level, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.spark_jobs.texts import Texts

DOMAINS = ("general", "legal", "medical", "financial")
"""Domains that have a model."""


class DomainSettings(Settings):
    """Which domains are wanted."""

    targets: dict[str, float] = dict.fromkeys(DOMAINS, 0.5)
    """Domain -> score in [0, 1] from which a text belongs to it."""

    @field_validator("targets")
    @classmethod
    def _known(cls, targets: dict[str, float]) -> dict[str, float]:
        for name, threshold in targets.items():
            if name not in DOMAINS:
                near = difflib.get_close_matches(name.lower(), DOMAINS, 1, 0.5)
                raise SettingError(
                    f"no model for domain {name!r}; known: {', '.join(DOMAINS)}",
                    f"did you mean {near[0]}?" if near else "take one of those that are known",
                )
            if not 0 <= threshold <= 1:
                raise SettingError(f"threshold of {name} is {threshold}", "give 0 to 1")
        if not targets:
            raise SettingError(
                "no target: nothing could be kept", f"give some of {', '.join(DOMAINS)}"
            )
        return targets


def score(texts: Texts, settings: DomainSettings) -> dict[str, pa.Array[Any]]:
    """Return the best of the target domains, and its score."""
    from headrace.spark_jobs.levels import domain_model

    return domain_model.score(texts, settings)


def decide(records: pa.Table, settings: DomainSettings) -> Verdict:
    """Reject what reaches no target's threshold."""
    from headrace.spark_jobs.levels import domain_model

    return domain_model.decide(records, settings)


DOMAIN = Level(
    name="domain",
    # The domain itself is a column of every record: a release is divided by it.
    columns=(
        Score(
            "domain_score",
            title="Domain: score of the best target",
            meaning="score of the best domain (level 5)",
            threshold="targets",
            per="domain",
        ),
    ),
    reasons=("none",),
    settings=DomainSettings,
    score=score,
    decide=decide,
)
