"""Which settings tell one run of a stage from another: those that decide its weights.

A stage's run folder, its checkpoints and its finished result are found by its identity, so a
setting that decides no weight must not be part of it: writing checkpoints more often would train
from scratch. Whatever is not listed here counts as deciding, so a new setting is safe before it is
thought about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.infra.configuration.settings import Settings
from headrace.training.incremental.settings import MaterialSettings
from headrace.training.rlhf.settings import PPOSettings
from headrace.training.settings import CheckpointSettings, EvaluateSettings, PretrainSettings

Table = Mapping[type[Settings], frozenset[str]]

OPERATION: Table = {
    CheckpointSettings: frozenset({"every", "keep"}),
    # Rounding apart, whatever the number of processes; when to measure on the way.
    PretrainSettings: frozenset({"processes", "heldout_every"}),
    # Documents are chosen and scored; a stage of training draws no interval from them.
    EvaluateSettings: frozenset({"resamples", "confidence"}),
}
"""Settings that decide neither weights nor figures of a stage of training."""

FIGURES: Table = {
    PretrainSettings: frozenset({"heldout_rows"}),
    PPOSettings: frozenset({"evaluation_samples"}),
    MaterialSettings: frozenset({"heldout"}),
}
"""Settings that decide figures that a stage reports, but none of its weights."""


def deciding_weights(settings: Settings) -> dict[str, Any]:
    """The settings, as JSON, that decide the weights of a stage of training."""
    return _without(settings, OPERATION, FIGURES)


def deciding_result(settings: Settings, *more: Table) -> dict[str, Any]:
    """The settings, as JSON, that decide the weights or the figures of stages of training.

    Args:
        settings: of any verb or stage.
        more: further settings that decide nothing of the result.
    """
    return _without(settings, OPERATION, *more)


def _without(settings: Settings, *tables: Table) -> dict[str, Any]:
    left_out = {
        name for table in tables for kind in type(settings).__mro__ for name in table.get(kind, ())
    }
    out: dict[str, Any] = {}
    for name, value in settings.model_dump(mode="json").items():
        inner = getattr(settings, name)
        if name not in left_out:
            out[name] = _without(inner, *tables) if isinstance(inner, Settings) else value
    return out
