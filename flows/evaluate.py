"""Model -> metrics."""

from __future__ import annotations

from prefect import flow

from headrace.infra.artifacts import Evaluation
from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.evaluation import evaluate_model


@flow(name="evaluate", flow_run_name="evaluate-{model}")
def evaluate(model: str, suite: str | None, shared: Shared) -> Evaluation:
    """Bits per byte with intervals, by domain and language."""
    return evaluate_model(model, suite, shared)
