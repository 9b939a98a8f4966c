"""The weight of the penalty: recorded as it was used, updated after, and carried over a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.training.callbacks.base import Run, Step
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer
from headrace.training.rlhf.kl import Controller
from headrace.training.rlhf.kl_control import KLControl
from headrace.training.rlhf.settings import Rates


def test_the_weight_follows_the_divergence(model: MoEForCausalLM, tmp_path: Path) -> None:
    control = KLControl(Controller(0.1, target=4.0, rate=0.5))
    step = Step(1, False, {"kl": 8.0})
    control.after(step)
    assert step.record["coefficient"] == 0.1
    extra = step.state["extra"]
    assert isinstance(extra, dict) and extra == pytest.approx({"coefficient": 0.11})
    again = KLControl(Controller(0.1, target=4.0, rate=0.5))
    again.begin(Run(tmp_path, "a", model, build_optimizer(model, Rates()), state=step.state))
    assert again.control.coefficient == control.control.coefficient
