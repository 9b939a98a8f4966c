"""The objective of a round: learn new text, keep the old (elastic weight consolidation, replay)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.training.engine import Engine
from headrace.training.incremental import answer_replay
from headrace.training.incremental.old_text import TokenRows, separate
from headrace.training.incremental.penalty import penalty
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.objective import Objective


@dataclass(frozen=True)
class Consolidation:
    """What holds a model to the champion."""

    strength: float
    """λ: the weight of the penalty."""
    anchor: Mapping[str, Tensor]
    """The champion's weights."""
    fisher: Mapping[str, Tensor]
    """How much each weight matters for old text."""
    answers: float
    """Weight of the divergence from the champion on its answers."""
    champion: MoEForCausalLM


class EWC(Objective):
    """Nats per token of new and replayed rows, and the cost of leaving the champion.

    Args:
        model: what is trained.
        eos: id that begins a document.
        batches: (steps, B, T) ids; in each batch new rows come first, then old ones, then answers.
        old_rows: rows of a batch that are old text.
        answer_rows: rows of a batch that are the champion's answers.
        hold: what holds the model to the champion; None: nothing (plain fine-tuning).
    """

    def __init__(
        self,
        model: MoEForCausalLM,
        eos: int,
        batches: TokenRows,
        old_rows: int = 0,
        answer_rows: int = 0,
        hold: Consolidation | None = None,
    ) -> None:
        self.model: MoEForCausalLM = model
        self.eos, self.batches, self.hold = eos, batches, hold
        self.old_rows, self.answer_rows = old_rows, answer_rows

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Train on batch `number`."""
        ids = torch.from_numpy(self.batches[number])
        self.model.train()
        logits = self.model(ids, mask=separate(ids, self.eos))
        text_rows = len(ids) - self.answer_rows
        new_rows = text_rows - self.old_rows
        parts = {"new_loss": next_token_loss(logits[:new_rows], ids[:new_rows])}
        task = parts["new_loss"]
        if self.old_rows:
            parts["replay_loss"] = next_token_loss(
                logits[new_rows:text_rows], ids[new_rows:text_rows]
            )
            task = (new_rows * parts["new_loss"] + self.old_rows * parts["replay_loss"]) / text_rows
        cost = self._cost(ids, logits, self.hold) if self.hold else torch.zeros(())
        norm = engine.step(task + cost)
        # The selection bias stays what it was: old text goes to the experts that learned it.
        self.model.balance(0.0)
        figures = {"loss": task, **parts, "penalty": cost}
        return {**{k: v.item() for k, v in figures.items()}, "norm": norm}

    def _cost(self, ids: Tensor, logits: Tensor, hold: Consolidation) -> Tensor:
        cost = hold.strength * penalty(self.model, hold.anchor, hold.fisher)
        if self.answer_rows:
            answers = ids[-self.answer_rows :]
            target = hold.champion(answers, mask=separate(answers, self.eos))
            divergence = answer_replay.divergence(logits[-self.answer_rows :], target)
            cost = cost + hold.answers * divergence
        return cost
