"""Which state of a round's training is kept, and when the training stops early.

Every `check` steps the model is scored on new and old validation text. Kept is the state with the
best new text among those that lost at most `forgetting` bits per byte of old text. Where the last
state lost more, it is also interpolated with the old weights as far as it takes (the straight line
between fine-tuned and original weights: Wortsman et al. 2022, arXiv:2109.01903), and the better of
the two is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from pydantic import TypeAdapter
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from headrace.training.callbacks.base import Callback, Run, Step
from headrace.training.data.columns import strings
from headrace.training.incremental.settings import CourseSettings
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.results import Check
from headrace.training.scoring import nll

HALVINGS = 6
"""Steps of the bisection that finds how far to go: to 1/64 of the way."""
STATES = "states"
"""The folder of checked weights in a run folder."""
Checks = tuple[Check, ...]
_CHECKS = TypeAdapter(Checks)


@dataclass(frozen=True)
class Kept:
    """The state that the model now holds."""

    step: int
    """Step after which it was taken; 0: the old weights."""
    share: float = 1.0
    """How far it was interpolated: 1 not at all, 0 to the old weights."""


def select_state(checks: Checks, forgetting: float) -> Check | None:
    """Best check that forgets no more than allowed, or None. checks[0] is the baseline."""
    baseline, *later = checks
    careful = [c for c in later if c.old <= baseline.old + forgetting and c.new < baseline.new]
    return min(careful, key=lambda c: (c.new, c.step), default=None)


def should_stop(checks: Checks, patience: int) -> bool:
    """Whether the last `patience` checks brought no better new text than those before."""
    if len(checks) <= patience:
        return False
    recent = min(c.new for c in checks[-patience:])
    return recent >= min(c.new for c in checks[:-patience])


def interpolate(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return the weights at `share` of the way from old to new; whole numbers stay as in new."""
    return {n: torch.lerp(old[n], t, share) if t.is_floating_point() else t for n, t in new.items()}


def copy_weights(model: MoEForCausalLM) -> dict[str, Tensor]:
    """Return a copy of the weights; tied ones once."""
    names = dict(model.named_parameters()) | dict(model.named_buffers())
    return {n: names[n].detach().clone() for n in model.state_dict() if n in names}


class EarlyStop(Callback):
    """Check the model on validation text, keep each checked state, and stop without progress.

    Args:
        model: what is trained.
        tokenizer: its tokenizer.
        anchor: the old weights.
        validation: `new` and `old` documents.
        folder: the run folder.
        settings: of the training.
    """

    def __init__(
        self,
        model: MoEForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        anchor: Mapping[str, Tensor],
        validation: Mapping[str, pa.Table],
        folder: Path,
        settings: CourseSettings,
    ) -> None:
        self.model, self.tokenizer, self.anchor = model, tokenizer, anchor
        self.validation, self.folder, self.settings = validation, folder / STATES, settings
        self.checks: Checks = ()

    def begin(self, run: Run) -> None:
        """Continue with the checks of the checkpoint, or begin with one of the old weights."""
        self.checks = _CHECKS.validate_python(run.state.get("checks", ()))
        if not self.checks:
            self.checks = (self._check(0),)

    def after(self, step: Step) -> None:
        """Check the model when a check is due."""
        if step.last or step.number % self.settings.check == 0:
            self.checks = (*self.checks, self._check(step.number))
            export.save_tensors(copy_weights(self.model), self._path(step.number))
        step.state["checks"] = [c.as_json() for c in self.checks]
        step.state["loss"] = step.record["loss"]

    def should_stop(self) -> bool:
        """Whether the checks of new text have stopped improving."""
        return should_stop(self.checks, self.settings.patience)

    def restore_best(self) -> Kept:
        """Put the state that is kept into the model."""
        best = select_state(self.checks, self.settings.forgetting)
        drawn_back = self._draw_back()
        if drawn_back and (best is None or drawn_back[1].new < best.new):
            share, last = drawn_back[0], self.checks[-1]
            self._load(interpolate(self.anchor, export.read_tensors(self._path(last.step)), share))
            return Kept(last.step, share)
        if best is not None:
            self._load(export.read_tensors(self._path(best.step)))
            return Kept(best.step)
        self._load(self.anchor)
        return Kept(0)

    def _draw_back(self) -> tuple[float, Check] | None:
        """How far the last state may go without forgetting too much, and its check there.

        None where it forgot no more than allowed, or no share of the way is careful enough.
        """
        baseline, last = self.checks[0], self.checks[-1]
        if not last.step or last.old <= baseline.old + self.settings.forgetting:
            return None
        trained = export.read_tensors(self._path(last.step))
        low, high = 0.0, 1.0
        careful: Check | None = None
        for _ in range(HALVINGS):
            share = (low + high) / 2
            self._load(interpolate(self.anchor, trained, share))
            check = self._check(last.step)
            if select_state((baseline, check), self.settings.forgetting):
                low, careful = share, check
            else:
                high = share
        return (low, careful) if careful else None

    def _check(self, step: int) -> Check:
        bits = {k: self._bits(self.validation[k]) for k in ("new", "old")}
        return Check(step=step, **bits)

    def _bits(self, documents: pa.Table) -> float:
        texts = strings(documents, "text")
        nats, sizes = nll.score(self.model, self.tokenizer, texts, quiet=True)
        return float(nats.sum() / sizes.sum() / math.log(2))

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}.safetensors"

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(state, strict=False)
