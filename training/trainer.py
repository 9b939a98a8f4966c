"""The training loop: one for pretraining, the stages of alignment and incremental training.

    trainer = Trainer(objective, optimizer, steps, folder, identity, …)
    trained = trainer.train()

The objective takes the steps, callbacks do everything else. The run folder holds metrics.jsonl and
checkpoints/. Killed at any moment and called again with the same arguments, a training resumes from
its newest checkpoint and ends with the same metrics and the same weights as one that was never
interrupted (with the same number of threads).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from headrace.infra import console
from headrace.training import checkpoint
from headrace.training.callbacks import metrics
from headrace.training.callbacks.base import Callback, Run, Step
from headrace.training.callbacks.checkpoints import Checkpoints
from headrace.training.callbacks.metrics import Metrics
from headrace.training.distributed import ONE, Ranks
from headrace.training.engine import Engine
from headrace.training.objective import Objective
from headrace.training.optimizer import MuonAdamW, set_rate
from headrace.training.settings import CheckpointSettings


@dataclass(frozen=True)
class Trained:
    """What a training did."""

    steps: int
    """Steps taken, those before a kill included."""
    resumed_from: int
    """Step where this call began."""
    last: metrics.Line
    """Figures of the last step; empty on all ranks but the first."""


class Trainer:
    """One training, in its own folder.

    Args:
        objective: takes the steps.
        optimizer: of the objective's model.
        steps: most steps.
        folder: where metrics and checkpoints go.
        identity: what decides the weights; a checkpoint of another identity is an error.
        title: what progress calls the training.
        unit: what progress calls its steps.
        clip: largest norm of the gradients; 0 does not clip.
        saving: when to save a checkpoint.
        callbacks: called after each step, before its line is written and a checkpoint is saved.
        ranks: the processes that train together.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: MuonAdamW,
        steps: int,
        folder: Path,
        identity: str,
        *,
        title: str,
        clip: float,
        saving: CheckpointSettings,
        unit: str = "steps",
        callbacks: Sequence[Callback] = (),
        ranks: Ranks = ONE,
    ) -> None:
        self.objective, self.optimizer, self.steps = objective, optimizer, steps
        self.folder, self.identity, self.ranks = folder, identity, ranks
        self.title, self.unit, self.clip = title, unit, clip
        written = Metrics() if ranks.first else None
        self.callbacks = [
            *callbacks,
            *([written] if written else []),
            Checkpoints(saving, written),
        ]

    def train(self) -> Trained:
        """Train to the last step, or until a callback stops; the model is trained in place.

        Raises:
            UsageError: the folder holds a run of another identity.
            DivergedError: loss or gradients are not finite.
        """
        run = self._restored()
        self.folder.mkdir(parents=True, exist_ok=True)
        number = run.done
        with ExitStack() as at_end:
            engine = at_end.enter_context(
                Engine(self.objective.model, self.optimizer, self.clip, self.ranks)
            )
            progress = at_end.enter_context(console.Progress(self.title, self.steps, self.unit))
            progress.done = number
            for callback in self.callbacks:
                at_end.callback(callback.close)
                callback.begin(run)
            while number < self.steps and not any(c.should_stop() for c in self.callbacks):
                step = self._step(engine, number)
                number = step.number
                progress.advance(note=step.note)
        lines = metrics.read(self.folder / metrics.NAME) if self.ranks.first else []
        return Trained(number, run.done, lines[-1] if lines else {})

    def _restored(self) -> Run:
        """Restore the run: model, optimizer and random numbers as of its newest checkpoint."""
        found = checkpoint.latest(self.folder / checkpoint.FOLDER, self.identity)
        model = self.objective.model
        if found:
            found.restore(model, self.optimizer, self.ranks)
        return Run(
            self.folder,
            self.identity,
            model,
            self.optimizer,
            self.ranks,
            found.step if found else 0,
            found.state if found else {},
        )

    def _step(self, engine: Engine, number: int) -> Step:
        """Take step `number` (from 0) and let the callbacks act on it."""
        set_rate(self.optimizer, number, self.steps)
        figures = self.objective.step(engine, number)
        step = Step(
            number + 1,
            number + 1 == self.steps,
            {"step": number + 1, **figures},
            note=self.objective.note(figures),
        )
        for callback in self.callbacks:
            callback.after(step)
        return step
