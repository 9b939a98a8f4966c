"""The metric `new.order_gain`: bits per byte that the order of new text is worth to a model."""

from __future__ import annotations

import math
from pathlib import Path

from headrace.infra.artifacts import Artifact, Inputs, produce
from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.comparison import Comparison, Metric
from headrace.tasks.gate.evaluation import heldout_documents
from headrace.tasks.model_refs import run_ref, weights_of
from headrace.tasks.task import step
from headrace.training.scoring import evaluate as scoring
from headrace.training.scoring import order_gain
from headrace.training.settings import EvaluateSettings


class OrderGain(Artifact):
    """What the order of some text is worth to a model."""

    RECORD = "order.json"

    order_gain: float | None
    """In bits per byte; None: not finite."""


@step("shuffle new text")
def score_order(export: str, corpus: list[str], window: str | None, shared: Shared) -> OrderGain:
    """Measure the order gain of a model on `heldout_documents`."""
    names = [Path(r).name for r in (*corpus, *([window] if window else ()))]
    inputs = Inputs.deciding("order", weights_of(export), names, shared.seed, of=run_ref(export))

    def make(_: Path) -> OrderGain:
        from headrace.training.moe import export as exports

        documents = scoring.sample(heldout_documents(corpus, window), EvaluateSettings())
        texts = [str(text) for text in documents["text"].to_pylist()]
        model, tokenizer = exports.load(export), exports.load_tokenizer(export)
        gain = order_gain.order_gain(model, tokenizer, texts, shared.seed)
        # JSON has no NaN: a null figure breaks the guard as well.
        return OrderGain(order_gain=gain if math.isfinite(gain) else None)

    return produce(OrderGain, inputs, make)


def _measure(comparison: Comparison) -> float | None:
    export = comparison.challenger.export
    if export is None or not comparison.new:
        return None
    gain = score_order(
        export, list(comparison.new), comparison.window, comparison.shared
    ).order_gain
    return math.nan if gain is None else gain


METRIC = Metric("new.order_gain", measure=_measure)
