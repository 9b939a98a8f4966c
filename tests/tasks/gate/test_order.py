"""What the order of new text is worth to a model, measured once per model and text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.comparison import Comparison, Side
from headrace.tasks.gate.order import METRIC, score_order
from headrace.tasks.mlflow_log import registry
from headrace.training.scoring import order_gain


def contest(export: str | None, *new: str) -> Comparison:
    side = Side("retrained", {}, export)
    return Comparison(side, side, "/f", "default", Shared(), new=new)


def test_without_new_text_or_weights_it_is_not_measured() -> None:
    assert METRIC.measure is not None
    assert METRIC.measure(contest("/export")) is None
    assert METRIC.measure(contest(None, "/release")) is None


def test_it_is_measured_once_and_what_is_not_finite_is_null(
    state: Path,
    champion: Callable[..., str],
    release: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [f"The court heard case {i}." for i in range(300)]
    folder = release("base", texts)
    champion("ppo-1", folder, None, True)
    export = str(registry("headrace").champion().export)
    gains = iter([0.4, float("nan")])
    monkeypatch.setattr(order_gain, "order_gain", lambda *_: next(gains))
    first, again = (score_order.fn(export, [folder], None, Shared()) for _ in range(2))
    assert first.order_gain == again.order_gain == 0.4
    assert score_order.fn(export, [folder], None, Shared(seed=9)).order_gain is None
