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
    """Mean nats a token over the first `rows` held-out rows; the model's mode is left as it was."""
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


class Heldout(Callback):
    """Adds `heldout_loss` every `every` steps and at the last, `heldout_bits_per_byte` if known."""

    def __init__(
        self, model: MoEForCausalLM, shards: Shards, every: int, rows: int, separate: bool
    ) -> None:
        self.model, self.shards, self.every, self.rows, self.separate = (
            model,
            shards,
            every,
            rows,
            separate,
        )

    def after(self, step: Step) -> None:
        """Measure, where it is time."""
        if self.shards.heldout.rows and (step.last or step.number % self.every == 0):
            loss = heldout_loss(self.model, self.shards, self.rows, self.separate)
            step.record["heldout_loss"] = loss
            size = self.shards.heldout_bytes_per_token
            if size:
                step.record["heldout_bits_per_byte"] = loss / math.log(2) / size
