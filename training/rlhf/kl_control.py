"""Steer the weight of the KL penalty after each round, and carry it over a kill."""

from __future__ import annotations

from headrace.training.callbacks.base import Callback, Run, Step
from headrace.training.rlhf.kl import Controller


class KLControl(Callback):
    """Record the `coefficient` of a round's rewards, then update it by the round's `kl`."""

    def __init__(self, control: Controller) -> None:
        self.control = control

    def begin(self, run: Run) -> None:
        """Continue with the coefficient of the checkpoint."""
        extra = run.state.get("extra")
        if isinstance(extra, dict) and isinstance(value := extra.get("coefficient"), int | float):
            self.control.coefficient = float(value)

    def after(self, step: Step) -> None:
        """Take in the round's divergence."""
        step.record["coefficient"] = self.control.coefficient
        self.control.update(step.record["kl"])
        step.state["extra"] = {"coefficient": self.control.coefficient}
