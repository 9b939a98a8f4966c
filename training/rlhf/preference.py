"""The objective of the reward model: score the chosen answer above the rejected one."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.training.chat_template import Dialogue, padded
from headrace.training.engine import Engine
from headrace.training.objective import Objective
from headrace.training.rlhf import losses
from headrace.training.rlhf.data.batches import Batches
from headrace.training.rlhf.reward_model import ScalarModel

Pair = tuple[Dialogue, Dialogue]
"""A chosen dialogue and a rejected one."""


class Preference(Objective):
    """The contrastive loss of Bradley and Terry.

    Args:
        model: what is trained.
        pairs: of the data.
        sampled: chosen answers against the SFT model's own.
        batch: pairs per step; a quarter are of `sampled`, however few those are beside the data.
        pad: id that fills up shorter dialogues.
        seed: seed of the batches.
    """

    def __init__(
        self,
        model: ScalarModel,
        pairs: Sequence[Pair],
        sampled: Sequence[Pair],
        batch: int,
        pad: int,
        seed: int,
    ) -> None:
        self.model: ScalarModel = model
        self.pad = pad
        parts = (
            [(pairs, batch - batch // 4), (sampled, batch // 4)] if sampled else [(pairs, batch)]
        )
        self.batches = [
            (some, Batches([len(a.ids) + len(b.ids) for a, b in some], size, seed))
            for some, size in parts
            if size
        ]

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Train on batch `number`; `accuracy` is the share of its pairs in the right order."""
        here = [some[i] for some, batches in self.batches for i in batches[number]]
        chosen, rejected = zip(*here, strict=True)
        good, bad = self.model(*padded([*chosen, *rejected], self.pad)).chunk(2)
        loss = losses.preference(good, bad)
        return {
            "loss": loss.item(),
            "accuracy": float((good > bad).float().mean()),
            "gradient": engine.step(loss),
        }
