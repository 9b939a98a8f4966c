"""A run's identity: every setting that decides weights is in it, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.infra.configuration.settings import Settings
from headrace.training.identity import deciding_result, deciding_weights
from headrace.training.incremental.settings import EWCSettings
from headrace.training.rlhf.settings import PPOSettings, RewardSettings, SFTSettings
from headrace.training.settings import PretrainSettings

CADENCE = {"checkpoint.every", "checkpoint.keep"}
STAGES: dict[str, tuple[Settings, set[str], set[str]]] = {
    "pretrain": (
        PretrainSettings(), CADENCE | {"processes", "heldout_every"}, {"heldout_rows"},
    ),
    "sft": (SFTSettings(), CADENCE, set()),
    "reward": (RewardSettings(), CADENCE, set()),
    "ppo": (PPOSettings(), CADENCE, {"evaluation_samples"}),
    "ewc": (
        EWCSettings(),
        {f"course.{name}" for name in CADENCE}
        | {f"material.validation.{name}" for name in ("resamples", "confidence")},
        {f"material.heldout.{name}" for name in
         ("documents", "max_bytes", "resamples", "confidence")},
    ),
}  # fmt: skip
"""Settings, leaves that decide neither weights nor figures, leaves that decide figures alone."""


def leaves(settings: Settings, before: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def others(value: Any) -> list[Any]:
    """Candidates for another value of a leaf; what the model refuses is passed over."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value / 2, value / 2 + 0.25]
    if isinstance(value, tuple):
        return [(0.8, 0.9)]
    return ["test"] if isinstance(value, str) else [7, 0.5]


def changed(settings: Settings, path: str, value: Any) -> Settings:
    """The settings with one leaf changed, validated."""
    data = settings.model_dump()
    *above, last = path.split(".")
    inner = data
    for name in above:
        inner = inner[name]
    inner[last] = value
    return type(settings).model_validate(data)


def another(settings: Settings, path: str, value: Any) -> Settings:
    for candidate in others(value):
        try:
            return changed(settings, path, candidate)
        except ValidationError:
            continue
    raise AssertionError(f"no other value for {path}")


CASES = [(stage, path) for stage, (s, *_) in STAGES.items() for path, _ in leaves(s)]


@pytest.mark.parametrize(("stage", "path"), CASES)
def test_exactly_the_leaves_that_decide_the_weights_change_the_identity(
    stage: str, path: str
) -> None:
    settings, operation, figures = STAGES[stage]
    other = another(settings, path, dict(leaves(settings))[path])
    assert other != settings
    decides = path not in operation | figures
    assert (deciding_weights(other) != deciding_weights(settings)) == decides
    if path in operation and not path.endswith(("resamples", "confidence")):
        assert deciding_result(other) == deciding_result(settings)
    if path in figures and not path.endswith(("resamples", "confidence")):
        assert deciding_result(other) != deciding_result(settings)


def test_the_exceptions_name_settings_that_exist() -> None:
    for settings, operation, figures in STAGES.values():
        assert operation | figures <= {path for path, _ in leaves(settings)}
