"""Which settings tell one run of a stage from another: those that decide its weights.

A stage's run folder, its checkpoints and its finished result are found by its identity, so a
setting that decides no weight must not be part of it: writing checkpoints more often would train
from scratch. A settings class declares what doesn't decide. Whatever it doesn't name counts as
deciding, so a new setting is safe before it is thought about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import JsonValue

from headrace.infra.configuration.settings import Settings

Names = frozenset[str]
Table = Mapping[type[Settings], Names]
"""Settings classes, and names of their fields."""


class TrainingSettings(Settings):
    """Settings of training, some of which decide no weight."""

    OPERATION: ClassVar[Names] = frozenset()
    """Fields that decide neither weights nor figures."""
    FIGURES: ClassVar[Names] = frozenset()
    """Fields that decide figures that a stage reports, but none of its weights."""


def deciding_weights(settings: Settings) -> dict[str, JsonValue]:
    """Return the settings, as JSON, that decide the weights of a stage of training."""
    return _without(settings, figures=True, more={})


def deciding_result(settings: Settings, more: Table | None = None) -> dict[str, JsonValue]:
    """Return the settings, as JSON, that decide the weights or the figures of stages of training.

    Args:
        settings: of any verb or stage.
        more: further settings that decide nothing of the result.
    """
    return _without(settings, figures=False, more=more or {})


def _without(settings: Settings, figures: bool, more: Table) -> dict[str, JsonValue]:
    """Return the settings as JSON but those that are declared to decide nothing, at any depth."""
    left_out = {name for kind in type(settings).__mro__ for name in more.get(kind, ())}
    if isinstance(settings, TrainingSettings):
        left_out |= settings.OPERATION | (settings.FIGURES if figures else frozenset())
    out: dict[str, JsonValue] = {}
    for name, value in settings.model_dump(mode="json", exclude=left_out).items():
        inner = getattr(settings, name)
        out[name] = _without(inner, figures, more) if isinstance(inner, Settings) else value
    return out
