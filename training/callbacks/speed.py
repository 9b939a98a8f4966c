"""Tokens per second, of each step and of the run."""

from __future__ import annotations

import time

from headrace.training.callbacks.base import Callback, Run, Step


class Speed(Callback):
    """Add `tokens` and `tokens_per_second` (of this step alone), and note the run's mean."""

    def __init__(self, tokens_per_step: int) -> None:
        self.tokens_per_step = tokens_per_step
        self.seconds, self.steps = 0.0, 0

    @property
    def tokens_per_second(self) -> float:
        """Mean over the steps of this process."""
        return self.steps * self.tokens_per_step / self.seconds if self.seconds else 0.0

    def begin(self, run: Run) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def after(self, step: Step) -> None:
        """Take the time since the last step."""
        now = time.perf_counter()
        took, self._since = now - self._since, now
        self.seconds, self.steps = self.seconds + took, self.steps + 1
        step.record["tokens"] = step.number * self.tokens_per_step
        step.record["tokens_per_second"] = round(self.tokens_per_step / took, 1)
        step.note += f", {self.tokens_per_second:,.0f} tokens per second"
