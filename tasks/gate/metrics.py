"""The metrics that the gate's policies can name: one entry each.

A further metric is a file with its `Metric`, an entry in METRICS, and a test. Policies name it;
decision.json, the gate's page and MLflow show it.
"""

from __future__ import annotations

import math

from headrace.tasks.gate import anchor, order, rewards
from headrace.tasks.gate.comparison import NEW, OLD, Comparison, Metric, Pair, read_scores
from headrace.training.scoring.gate import Evidence
from headrace.training.scoring.policy import Policy


def _on(text: str) -> Metric:
    """Bits per byte on a kind of text."""

    def compare(comparison: Comparison) -> Pair | None:
        champion, challenger = (
            side.sample(text) for side in (comparison.champion, comparison.challenger)
        )
        return Pair(champion, challenger) if champion and challenger else None

    return Metric(f"{text}.bits_per_byte", compare)


def _cost_of_alignment(comparison: Comparison) -> Pair | None:
    """Old text under the challenger and under the model that alignment started from."""
    challenger = comparison.challenger.sample(OLD)
    if comparison.base is None or challenger is None:
        return None
    return Pair(read_scores(comparison.base.documents), challenger, "pretrained")


METRICS: tuple[Metric, ...] = (
    _on(OLD),
    _on(NEW),
    Metric("base.bits_per_byte", _cost_of_alignment),
    anchor.METRIC,
    rewards.METRIC,
    order.METRIC,
)
"""In the order in which they are measured."""


def gather(comparison: Comparison, policy: Policy) -> tuple[Evidence, Evidence]:
    """Gather the evidence on champion and challenger that a policy asks for."""
    pairs: dict[str, Pair] = {}
    # JSON has no NaN: a figure that isn't finite is null there.
    measures = {n: math.nan if v is None else v for n, v in comparison.measures.items()}
    for metric in METRICS:
        if not policy.names(metric.name):
            continue
        if metric.compare and (pair := metric.compare(comparison)):
            pairs[metric.name] = pair
        if metric.measure and metric.name not in measures:
            value = metric.measure(comparison)
            measures |= {} if value is None else {metric.name: value}
    champion, challenger = comparison.champion, comparison.challenger
    return (
        Evidence(
            champion.name,
            {name: pair.champion for name, pair in pairs.items()},
            data=comparison.data,
            against={name: pair.against for name, pair in pairs.items() if pair.against},
            notes=tuple(note for pair in pairs.values() for note in pair.notes),
            fault=champion.fault,
        ),
        Evidence(
            challenger.name,
            {name: pair.challenger for name, pair in pairs.items()},
            measures,
            comparison.data,
            fault=challenger.fault,
        ),
    )
