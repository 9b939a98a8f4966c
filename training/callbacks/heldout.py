"""Held-out loss now and then, on the same rows each time."""

from __future__ import annotations

import math

import torch

from headrace.training.callbacks.base import Callback, Step
from headrace.training.data.batches import batch
from headrace.training.data.shards import Shards
from headrace.training.moe.model import MoEForCausalLM, next_token_loss


@torch.no_grad()
def heldout_loss(model: MoEForCausalLM, shards: Shards, rows: int, separate: bool) -> float:
    """Mean nats per token over the first `rows` held-out rows; the model's mode is kept."""
    was_training = model.training
    model.eval()
    rows = min(rows, shards.heldout.rows)
    total = 0.0
    for start in range(0, rows, 8):
        seen = batch(shards.heldout, start, min(8, rows - start), separate)
        loss = next_token_loss(model(seen.ids, mask=seen.mask), seen.ids)
        total += len(seen.ids) * float(loss)
    model.train(was_training)
    return total / rows


def heldout_figures(
    model: MoEForCausalLM, shards: Shards, rows: int, separate: bool
) -> dict[str, float]:
    """{`heldout_loss`, `heldout_bits_per_byte` if known}; empty where no row is held out."""
    if not shards.heldout.rows:
        return {}
    loss = heldout_loss(model, shards, rows, separate)
    size = shards.heldout_bytes_per_token
    return {"heldout_loss": loss} | (
        {"heldout_bits_per_byte": loss / math.log(2) / size} if size else {}
    )


class Heldout(Callback):
    """Adds `heldout_figures` every `every` steps and at the last."""

    def __init__(
        self, model: MoEForCausalLM, shards: Shards, every: int, rows: int, separate: bool
    ) -> None:
        self.model, self.shards, self.every = model, shards, every
        self.rows, self.separate = rows, separate

    def after(self, step: Step) -> None:
        """Measure, where it is time."""
        if step.last or step.number % self.every == 0:
            step.record |= heldout_figures(self.model, self.shards, self.rows, self.separate)
