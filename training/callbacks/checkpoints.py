"""Saves checkpoints as training goes on."""

from __future__ import annotations

from pathlib import Path

from headrace.training import checkpoint
from headrace.training.callbacks.base import Callback, Step
from headrace.training.callbacks.metrics import Metrics
from headrace.training.distributed import Ranks
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW
from headrace.training.settings import CheckpointSettings


class Checkpoints(Callback):
    """A checkpoint in `root` every `settings.every` steps and after the last."""

    def __init__(
        self,
        root: Path,
        model: MoEForCausalLM,
        optimizer: MuonAdamW,
        metrics: Metrics | None,
        settings: CheckpointSettings,
        identity: str,
        ranks: Ranks,
    ) -> None:
        self.root, self.model, self.optimizer = root, model, optimizer
        self.metrics, self.settings, self.identity = metrics, settings, identity
        self.ranks = ranks

    def after(self, step: Step) -> None:
        """Save, where it is time; the step's metrics must have been written before."""
        if step.last or step.number % self.settings.every == 0:
            if self.metrics:
                self.metrics.sync()
            checkpoint.save(
                self.root,
                step.number,
                self.model,
                self.optimizer,
                self.identity,
                keep=self.settings.keep,
                ranks=self.ranks,
            )
