"""Says which domains a text reaches: general, legal, medical, financial, or none.

A hashed logistic model over n-grams of words and Chinese characters has one output a domain, each
a score in [0, 1] of its own: a text can reach several, or none (chat, reviews, code). The text is
kept where at least one target's threshold is reached, and assigned to the best of those reached;
where none is, `domain` names the best of all targets. Weights: data/l5_domain.npz, made by
`python -m headrace.spark_jobs.fit.domain` (data/l5_domain.md says from what).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.spark_jobs.kernels.linear import LinearModel
from headrace.spark_jobs.level_settings import DOMAINS as DOMAINS
from headrace.spark_jobs.level_settings import DomainSettings as DomainSettings
from headrace.spark_jobs.levels.base import Level, Texts, Verdict


@cache
def _model() -> LinearModel:
    return LinearModel.load(Path(__file__).with_name("data") / "l5_domain.npz")


def _score(texts: Texts, settings: DomainSettings) -> dict[str, pa.Array]:
    names = [d for d in DOMAINS if d in settings.targets]
    scores = _model().scores(texts)[:, [DOMAINS.index(d) for d in names]]
    wanted = np.array([settings.targets[d] for d in names], np.float32)
    # Those that reach their threshold come before all that don't; the sooner named wins a tie.
    best = np.argmax(scores + 2 * (scores >= wanted), axis=1)
    return {
        "domain": pa.array(names, pa.string()).take(pa.array(best)),
        "domain_score": pa.array(scores[np.arange(len(best)), best], pa.float32()),
    }


def _decide(records: pa.Table, settings: DomainSettings) -> Verdict:
    domain = records["domain"].combine_chunks()
    score = records["domain_score"].combine_chunks()
    reached = pa.array(np.zeros(len(records), bool))
    for name, threshold in settings.targets.items():
        enough = pc.greater_equal(score, pa.scalar(threshold, pa.float32()))
        reached = pc.or_(reached, pc.and_(pc.equal(domain, name), enough))
    missed = pc.fill_null(pc.invert(reached), False)
    nothing = pa.scalar(None, pa.string())
    shown = pc.cast(pc.round(score, 3), pa.string())
    said = pc.binary_join_element_wise(pc.binary_join_element_wise("best", domain, " "), shown, " ")
    return Verdict(
        pc.if_else(missed, pa.scalar("domain.none"), nothing), pc.if_else(missed, said, nothing)
    )


DOMAIN = Level(number=5, name="domain", settings=DomainSettings, score=_score, decide=_decide)
