"""The objective of supervised fine-tuning: predict the responses, and keep the language."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.training.chat_template import Dialogue, batch
from headrace.training.engine import Engine
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.objective import Objective
from headrace.training.rlhf import losses
from headrace.training.rlhf.data.batches import Batches
from headrace.training.rlhf.pretraining_mix import Replay


class Supervised(Objective):
    """Mean nats per token of the responses and of replayed pretraining rows, by their share.

    Args:
        model: what is trained.
        dialogues: prompts with their responses.
        pairs: dialogues per step.
        pad: id that fills up shorter ones.
        seed: seed of the batches.
        replay: pretraining text; None: none.
        replay_rows: rows of it per step.
    """

    def __init__(
        self,
        model: MoEForCausalLM,
        dialogues: Sequence[Dialogue],
        pairs: int,
        pad: int,
        seed: int,
        replay: Replay | None,
        replay_rows: int,
    ) -> None:
        self.model: MoEForCausalLM = model
        self.dialogues, self.pad = dialogues, pad
        self.batches = Batches([len(d.ids) for d in dialogues], pairs, seed)
        self.replay = replay if replay_rows else None
        self.replay_rows = replay_rows
        self.share = replay_rows / (replay_rows + pairs) if self.replay else 0.0

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Train on batch `number` of both kinds."""
        figures: dict[str, float] = {}
        if self.replay:
            language = self.replay.loss(self.model, number, self.replay_rows)
            engine.backward(self.share * language)
            figures["language_loss"] = language.item()
        taken = [self.dialogues[i] for i in self.batches[number]]
        inputs, targets, mask = batch(taken, self.pad)
        loss = losses.supervised(self.model(inputs), targets, mask)
        engine.backward((1 - self.share) * loss)
        return figures | {"loss": loss.item(), "gradient": engine.update()}
