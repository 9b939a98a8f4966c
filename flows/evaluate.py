"""Model -> metrics."""

from __future__ import annotations

import functools
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows.box import Outcome, box
from headrace.flows.run_states import RunState, ended
from headrace.infra.artifacts import Evaluation
from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.evaluation import evaluate_model
from headrace.tasks.reporting import run_artifacts

_SETTINGS = Shared()


@box("evaluate", hours=12, run_name="evaluate-{model}")
def evaluate(
    model: str = "champion",
    suite: str | None = None,
    settings: Shared = _SETTINGS,
) -> Outcome[Evaluation]:
    """Model -> metrics.

    Args:
        model: Export folder, or an alias: champion, challenger.
        suite: JSONL with `text`, `lang`, `domain`; none: the held-out records of its corpus.
        settings: As `headrace evaluate` takes them by --config and --set.
    """
    evaluation = evaluate_model(model, suite, settings)
    return Outcome(evaluation, functools.partial(_page, evaluation))


def _page(evaluation: Evaluation, began: float) -> State[Any]:
    """The metrics, by domain and language."""
    run_artifacts.show_metrics(evaluation)
    value = evaluation.bits.value
    bits = "no finite number of" if value is None else f"{value:.3f}"
    if run_artifacts.older(evaluation.path, began):
        return ended(RunState.CACHED, f"measured before: {bits} bits per byte")
    return ended(RunState.COMPLETED, f"{bits} bits per byte")
