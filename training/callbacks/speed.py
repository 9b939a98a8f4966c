"""Progress on the screen, and tokens a second."""

from __future__ import annotations

import time

from headrace.infra.console import Progress
from headrace.training.callbacks.base import Callback, Step


class Speed(Callback):
    """Adds `tokens` and `tokens_per_second` (of this step alone), and moves `progress` on."""

    def __init__(self, progress: Progress, tokens_a_step: int) -> None:
        self.progress, self.tokens_a_step = progress, tokens_a_step
        self._since = time.perf_counter()
        self.seconds, self.steps = 0.0, 0

    @property
    def tokens_per_second(self) -> float:
        """Mean over the steps of this process."""
        return self.steps * self.tokens_a_step / self.seconds if self.seconds else 0.0

    def after(self, step: Step) -> None:
        """Take the time since the last step."""
        now = time.perf_counter()
        took, self._since = now - self._since, now
        self.seconds, self.steps = self.seconds + took, self.steps + 1
        step.record["tokens"] = step.number * self.tokens_a_step
        step.record["tokens_per_second"] = round(self.tokens_a_step / took, 1)
        note = f"loss {step.record['loss']:.3f}, {self.tokens_per_second:,.0f} tokens a second"
        self.progress.advance(note=note)
