"""What a training minimizes: the one part in which the trainings differ."""

from __future__ import annotations

from torch import nn

from headrace.training.engine import Engine


class Objective:
    """The loss of each step, and the model that it trains.

    Batches and random numbers are functions of the step's number, so that a checkpoint of model
    and optimizer is all that a killed run needs to end with the same bits.
    """

    model: nn.Module
    """What is trained, and what a checkpoint holds."""

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Take step `number` (from 0): backward and update; return its figures by name.

        Raises:
            DivergedError: the loss or a gradient is not finite.
        """
        raise NotImplementedError

    def note(self, figures: dict[str, float]) -> str:
        """Return what progress shows of a step's figures."""
        return f"loss {figures['loss']:.3f}"
