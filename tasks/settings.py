"""Settings of each verb: its component's, and what all share; the defaults are the chain's."""

from __future__ import annotations

from typing import Literal, TypeVar

from headrace.expectations.drift import DriftSettings as DriftSettings
from headrace.infra.settings import Settings, Shared
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.tokenize_job import TokenizeSettings
from headrace.training.incremental.settings import EWCSettings
from headrace.training.rlhf.settings import AlignSettings as AlignSettings
from headrace.training.settings import PretrainSettings

C = TypeVar("C", bound=Settings)


class GateSettings(Settings):
    """How a challenger is judged and promoted."""

    policy: str | None = None
    """YAML file of the policy; None: the default of the situation."""
    promote: Literal["auto", "manual"] = "auto"
    """Whether the gate moves the champion itself, or leaves it to a person."""


class RetrainSettings(Settings):
    """How the champion learns a new window."""

    ewc: EWCSettings = EWCSettings()
    minimum_records: int = 20
    """Kept records below which there is nothing to learn from."""
    minimum_kept: float = 0.1
    """Share of kept records below which the window counts as damaged."""
    compare_plain: bool = True
    """Also train without penalty and replay, so that the report shows what they are worth."""


class CurateVerb(Shared, CurateSettings):
    """Settings of `headrace curate` and `validate`."""


class TokenizeVerb(Shared, TokenizeSettings):
    """Settings of `headrace tokenize`."""


class PretrainVerb(Shared, PretrainSettings):
    """Settings of `headrace pretrain` and `plan`."""


class AlignVerb(Shared, AlignSettings):
    """Settings of `headrace align`."""


class GateVerb(Shared, GateSettings):
    """Settings of `headrace gate`."""


class MonitorVerb(Shared, DriftSettings):
    """Settings of `headrace monitor`."""

    curate: CurateSettings = CurateSettings()


class RetrainVerb(Shared, RetrainSettings):
    """Settings of `headrace retrain`."""

    curate: CurateSettings = CurateSettings()
    gate: GateSettings = GateSettings()
    monitor: DriftSettings = DriftSettings()


class RunVerb(Shared):
    """Settings of `headrace run`: a verb's settings stand under its name."""

    curate: CurateSettings = CurateSettings()
    tokenize: TokenizeSettings = TokenizeSettings()
    pretrain: PretrainSettings = PretrainSettings()
    align: AlignSettings = AlignSettings()
    gate: GateSettings = GateSettings()
    monitor: DriftSettings = DriftSettings()
    retrain: RetrainSettings = RetrainSettings()


def component(verb: Shared, model: type[C]) -> C:
    """The component's own settings out of a verb's, without what all verbs share."""
    return model.model_validate({k: getattr(verb, k) for k in model.model_fields})
