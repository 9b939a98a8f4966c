"""Save checkpoints as training proceeds."""

from __future__ import annotations

from headrace.training import checkpoint
from headrace.training.callbacks.base import Callback, Run, Step
from headrace.training.callbacks.metrics import Metrics
from headrace.training.settings import CheckpointSettings


class Checkpoints(Callback):
    """A checkpoint every `settings.every` steps and after the last.

    Args:
        settings: when to save, and how many to keep.
        metrics: the run's metrics, which must have written the step's line before; None: this rank
            writes none.
    """

    def __init__(self, settings: CheckpointSettings, metrics: Metrics | None) -> None:
        self.settings, self.metrics = settings, metrics

    def begin(self, run: Run) -> None:
        """Remember what is saved, and where."""
        self.run = run

    def after(self, step: Step) -> None:
        """Save when a checkpoint is due."""
        if step.last or step.number % self.settings.every == 0:
            if self.metrics:
                self.metrics.sync()
            run = self.run
            checkpoint.save(
                run.folder / checkpoint.FOLDER,
                step.number,
                run.model,
                run.optimizer,
                run.identity,
                step.state,
                self.settings.keep,
                run.ranks,
            )
