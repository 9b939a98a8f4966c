"""Challenger against champion -> promote or reject."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.gate.comparison import Comparison
from headrace.tasks.gate.contests import Exports, compare_exports
from headrace.tasks.gate.metrics import gather
from headrace.tasks.gate.promotion import (
    Candidate,
    Gated,
    decide,
    policy_of,
    promote,
    record_comparison,
)


@flow(name="gate", flow_run_name="gate-{contest.name}")
def gate(
    contest: Comparison | Exports,
    settings: GateSettings,
    candidate: Candidate | None = None,
    chain: str | None = None,
) -> Gated:
    """The policy's decision on a challenger, and a candidate's promotion where it says so.

    Args:
        contest: who is compared with whom, and on what.
        settings: name the policy, and say who promotes.
        candidate: the challenger, where it is to be a version of the model; None: nothing moves.
        chain: parent run in MLflow.
    """
    comparison = contest if isinstance(contest, Comparison) else compare_exports(contest)
    policy = policy_of(settings, comparison.default)
    champion, challenger = gather(comparison, policy)
    decision = decide(
        champion,
        challenger,
        Path(comparison.folder),
        settings,
        comparison.default,
        comparison.shared.seed,
        comparison.compared_with,
    )
    if candidate is None:
        return record_comparison(comparison, decision)
    model = comparison.shared.model.name
    return promote(candidate, decision, settings, model, chain, comparison.began)
