"""The hooks of a training, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from headrace.training.distributed import ONE, Ranks
from headrace.training.optimizer import MuonAdamW


@dataclass(frozen=True)
class Run:
    """A training that is about to take its first step, restored from its newest checkpoint."""

    folder: Path
    identity: str
    model: nn.Module
    optimizer: MuonAdamW
    ranks: Ranks = ONE
    done: int = 0
    """Steps that the checkpoint has; 0 without one."""
    state: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the callbacks put into that checkpoint."""


@dataclass
class Step:
    """One finished step; callbacks add to `record` and `state`, in their order."""

    number: int
    """Steps done, this one included."""
    last: bool
    """Whether it is the last of the run."""
    record: dict[str, float] = field(default_factory=dict)
    """The line of metrics.jsonl: step, loss, lr, …"""
    state: dict[str, JsonValue] = field(default_factory=dict)
    """What a checkpoint of this step must hold besides the model and the optimizer."""
    note: str = ""
    """What progress shows of the step."""


class Callback:
    """Act after each step. The trainer calls callbacks in the order of its list."""

    def begin(self, run: Run) -> None:
        """Prepare for the steps after `run.done`."""

    def after(self, step: Step) -> None:
        """Act on a finished step."""
        raise NotImplementedError

    def should_stop(self) -> bool:
        """Whether training ends before its next step."""
        return False

    def close(self) -> None:
        """Release what `begin` opened, whatever ended the training."""
