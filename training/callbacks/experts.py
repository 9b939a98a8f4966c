"""Expert load: moves the routers' selection biases, and records how even the load is."""

from __future__ import annotations

from headrace.training.callbacks.base import Callback, Step
from headrace.training.distributed import ONE, Ranks
from headrace.training.moe.model import MoEForCausalLM


class Balance(Callback):
    """Balances `model` by `rate` after each step, by the load on all ranks together.

    Records `expert_load`, the busiest expert's tokens as a multiple of the mean, in the layer
    where that is largest (1 is even), and `idle_experts`, the number that had no token.
    """

    def __init__(self, model: MoEForCausalLM, rate: float, ranks: Ranks = ONE) -> None:
        self.model, self.rate, self.ranks = model, rate, ranks

    def after(self, step: Step) -> None:
        """Move the biases and add the figures."""
        for router in self.model.routers():
            self.ranks.total(router.load)
        load = self.model.balance(self.rate).double()
        if len(load):
            ratio = load.max(dim=1)[0] / load.mean(dim=1).clamp(min=1e-9)
            step.record["expert_load"] = round(float(ratio.max()), 4)
            step.record["idle_experts"] = int((load == 0).sum())
