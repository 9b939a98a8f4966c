"""The hooks of a training loop, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Step:
    """One finished optimizer step; callbacks add figures to `record`, in their order."""

    number: int
    """Steps done, this one included."""
    last: bool
    """Whether it is the last of the run."""
    record: dict[str, Any] = field(default_factory=dict)
    """The line of metrics.jsonl: step, loss, lr, …"""


class Callback:
    """Does something after a step. The loop calls callbacks in the order of its list."""

    def after(self, step: Step) -> None:
        """Called once a step, after the update."""
        raise NotImplementedError
