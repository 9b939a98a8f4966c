"""The objective of pretraining: predict each next token of the shards' rows."""

from __future__ import annotations

from headrace.training.data.batches import batch
from headrace.training.data.shards import Split
from headrace.training.distributed import ONE, Ranks
from headrace.training.engine import Engine
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.objective import Objective


class NextToken(Objective):
    """Mean nats per token of a batch of rows, each rank on its share of them.

    Args:
        model: what is trained.
        split: the rows, taken in their order, and over again after the last.
        rows: rows per batch, of all ranks together.
        separate: whether a token sees only its own document.
        ranks: the processes that train together.
    """

    def __init__(
        self, model: MoEForCausalLM, split: Split, rows: int, separate: bool, ranks: Ranks = ONE
    ) -> None:
        self.model: MoEForCausalLM = model
        self.split, self.rows, self.separate, self.ranks = split, rows, separate, ranks

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Train on batch `number`; `lr` is the first group's rate."""
        share = self.rows // self.ranks.size
        start = number * self.rows + self.ranks.rank * share
        seen = batch(self.split, start, share, self.separate)
        loss = next_token_loss(self.model(seen.ids, mask=seen.mask), seen.ids)
        norm = engine.step(loss)
        return {"loss": self.ranks.mean(loss.item()), "lr": engine.rate, "grad_norm": norm}
