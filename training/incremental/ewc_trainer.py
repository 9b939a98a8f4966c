"""The course of one training: steps, checks on validation text, and the state that is kept.

Every `check` steps the model is scored on new and old validation text. Kept is the state with the
best new text among those that lost at most `forgetting` bits per byte of old text. Where the last
state lost more, it is also drawn back towards the old weights as far as it takes (the straight line
between fine-tuned and original weights: Wortsman et al. 2022, arXiv:2109.01903), and the better of
the two is kept. kill -9 at any moment, then the same call again: the same bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from headrace.infra import console, storage
from headrace.infra.tracking import step_count
from headrace.training import checkpoint
from headrace.training.engine import Engine
from headrace.training.incremental.old_text import Rows, separate
from headrace.training.incremental.settings import CourseSettings
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.optimizer import build_optimizer, set_rate
from headrace.training.scoring import nll

HALVINGS = 6
"""Steps of the bisection that finds how far to go: to 1/64 of the way."""


@dataclass(frozen=True)
class Check:
    """Bits a byte of validation text after so many steps."""

    step: int
    new: float
    old: float


@dataclass(frozen=True)
class Course:
    """What a training did."""

    steps: int
    """Steps taken."""
    kept: int
    """Step whose state was kept; 0: the old weights."""
    share: float
    """How far that state was drawn back: 1 not at all, 0 to the old weights."""
    checks: tuple[Check, ...]
    loss: float
    """Of the last step on all rows, new and replayed, in nats per token."""
    resumed_from: int
    """Step where this call began."""


def choose(checks: tuple[Check, ...], forgetting: float) -> Check | None:
    """The check whose state is kept, None where none is careful enough; the first is no state."""
    start, *rest = checks
    careful = [c for c in rest if c.old <= start.old + forgetting and c.new < start.new]
    return min(careful, key=lambda c: (c.new, c.step), default=None)


def tired(checks: tuple[Check, ...], patience: int) -> bool:
    """Whether the last `patience` checks brought no better new text than those before."""
    if len(checks) <= patience:
        return False
    recent = min(c.new for c in checks[-patience:])
    return recent >= min(c.new for c in checks[:-patience])


def between(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """The weights at `share` of the way from old to new; whole numbers stay as they are in new."""
    return {n: torch.lerp(old[n], t, share) if t.is_floating_point() else t for n, t in new.items()}


def _bits(model: Any, tokenizer: Any, documents: pa.Table) -> float:
    nats, sizes = nll.score(model, tokenizer, documents["text"].to_pylist(), quiet=True)
    return float(nats.sum() / sizes.sum() / math.log(2))


def _state(model: MoEForCausalLM) -> dict[str, Tensor]:
    """A copy of the weights; tied ones once."""
    names = dict(model.named_parameters()) | dict(model.named_buffers())
    return {n: names[n].detach().clone() for n in model.state_dict() if n in names}


class Trainer:
    """One training in a folder of its own: checkpoints/, states/ and metrics.jsonl.

    Args:
        model: holds the old weights; trained in place.
        tokenizer: its tokenizer.
        folder: where state is kept.
        identity: what the result depends on; another one in the folder is an error.
        settings: of the training.
    """

    def __init__(
        self,
        model: MoEForCausalLM,
        tokenizer: Any,
        folder: Path,
        identity: str,
        settings: CourseSettings,
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.folder, self.identity = folder, identity
        self.anchor = _state(model)
        self._metrics = folder / "metrics.jsonl"

    def train(
        self,
        batches: Rows,
        stage: str,
        extra: Callable[[Tensor, Tensor], Tensor] | None = None,
        validation: Mapping[str, pa.Table] | None = None,
        apart: int = 0,
        old: int = 0,
    ) -> Course:
        """The course of a training on `batches` (steps, B, T); the model holds the kept state.

        Args:
            batches: token ids.
            stage: what progress is called.
            extra: what is added to the loss of every step, from ids (B, T) and logits (B, T, V).
            validation: `new` and `old` documents; None: no checks, the last state is kept.
            apart: so many last rows of a batch are for `extra` alone.
            old: so many rows before those are old text that is replayed.
        """
        optimizer = build_optimizer(self.model, self.settings.optimizer)
        found = checkpoint.latest(self.folder / "checkpoints", self.identity)
        begin = 0
        checks: tuple[Check, ...] = ()
        loss = math.nan
        if found is not None:
            found.restore(self.model, optimizer)
            begin, loss = found.step, float(found.state["loss"])
            checks = tuple(Check(**c) for c in found.state["checks"])
        self._cut_metrics(begin)
        step_count.write(self.folder, len(batches))
        if validation is not None and not checks:
            checks = (self._check(0, validation),)
        step = begin
        with (
            Engine(self.model, optimizer, self.settings.clip) as engine,
            console.Progress(stage, len(batches), "steps") as progress,
        ):
            progress.advance(begin)
            while step < len(batches) and not tired(checks, self.settings.patience):
                set_rate(optimizer, step, len(batches))
                loss = self._step(engine, torch.from_numpy(batches[step]), extra, step, apart, old)
                step += 1
                progress.advance(1, f"loss {loss:.3f}")
                last = step == len(batches)
                if validation is not None and (last or step % self.settings.check == 0):
                    checks = (*checks, self._check(step, validation))
                    self._keep(step)
                if last or step % self.settings.checkpoint.every == 0:
                    self._save(step, optimizer, checks, loss)
        kept, share = step, 1.0
        if validation is not None:
            kept, share = self._choose(checks, validation)
        return Course(step, kept, share, checks, loss, begin)

    def logits(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of packed rows, each document seen by itself."""
        return self.model(ids, mask=separate(ids, self.tokenizer.eos_token_id))

    def _step(
        self,
        engine: Engine,
        ids: Tensor,
        extra: Callable[[Tensor, Tensor], Tensor] | None,
        step: int,
        apart: int,
        old: int,
    ) -> float:
        self.model.train()
        logits, own = self.logits(ids), len(ids) - apart
        fresh = own - old
        parts = {"new_loss": next_token_loss(logits[:fresh], ids[:fresh])}
        task = parts["new_loss"]
        if old:
            parts["replay_loss"] = next_token_loss(logits[fresh:own], ids[fresh:own])
            task = (fresh * parts["new_loss"] + old * parts["replay_loss"]) / own
        added = extra(ids, logits) if extra is not None else torch.zeros(())
        norm = engine.step(task + added)
        # The selection bias stays what it was: old text goes to the experts that learned it.
        self.model.balance(0.0)
        figures = {"loss": task, **parts, "penalty": added}
        line = {"step": step + 1, **{k: v.item() for k, v in figures.items()}, "norm": norm}
        with open(self._metrics, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")
        return task.item()

    def _check(self, step: int, validation: Mapping[str, pa.Table]) -> Check:
        figures = {k: _bits(self.model, self.tokenizer, validation[k]) for k in ("new", "old")}
        return Check(step, **figures)

    def _cut_metrics(self, step: int) -> None:
        """Drop the lines after `step`, and half a line left by kill -9."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = self._metrics.read_bytes().splitlines()[:step] if self._metrics.exists() else []
        storage.write_bytes(self._metrics, b"".join(line + b"\n" for line in lines))

    def _path(self, step: int) -> Path:
        return self.folder / "states" / f"step-{step:06d}.safetensors"

    def _keep(self, step: int) -> None:
        export.save_tensors(_state(self.model), self._path(step))

    def _save(
        self, step: int, optimizer: torch.optim.Optimizer, checks: tuple[Check, ...], loss: float
    ) -> None:
        checkpoint.save(
            self.folder / "checkpoints",
            step,
            self.model,
            optimizer,
            self.identity,
            {"checks": [vars(c) for c in checks], "loss": loss},
            self.settings.checkpoint.keep,
        )

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(state, strict=False)

    def _choose(
        self, checks: tuple[Check, ...], validation: Mapping[str, pa.Table]
    ) -> tuple[int, float]:
        """(step, share) of the state that is kept, now in the model."""
        best = choose(checks, self.settings.forgetting)
        last = checks[-1]
        if last.step and last.old > checks[0].old + self.settings.forgetting:
            # The last state learned most but forgot too much: as far along the way as is careful.
            trained = export.read_tensors(self._path(last.step))
            low, high = 0.0, 1.0
            for _ in range(HALVINGS):
                share = (low + high) / 2
                self._load(between(self.anchor, trained, share))
                tried = self._check(last.step, validation)
                if choose((checks[0], tried), self.settings.forgetting):
                    low, part = share, tried
                else:
                    high = share
            if low and (best is None or part.new < best.new):
                self._load(between(self.anchor, trained, low))
                return last.step, low
        if best is not None:
            self._load(export.read_tensors(self._path(best.step)))
            return best.step, 1.0
        self._load(self.anchor)
        return 0, 0.0
