"""Settings of each verb: its component's, and what all share; the defaults are the chain's."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import Field

from headrace.expectations.settings import DriftSettings as DriftSettings
from headrace.infra.configuration.settings import Settings, Shared
from headrace.infra.stack.pools import PoolsSettings
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.stack.stack import StackSettings
from headrace.spark_jobs.settings import CurateSettings as CurateSettings
from headrace.spark_jobs.token_settings import TokenizeSettings
from headrace.training.incremental.settings import EWCSettings
from headrace.training.rlhf.settings import AlignSettings as AlignSettings
from headrace.training.settings import PretrainSettings

C = TypeVar("C", bound=Settings)


class GateSettings(Settings):
    """How a challenger is judged and promoted."""

    policy: str | None = None
    """YAML file of the policy; None: the default of the situation."""
    promote: Literal["auto", "manual"] = "auto"
    """Whether the gate moves the champion itself, or leaves it to a person. `auto` trusts the
    policy unattended: an alert on text in a trusted place can then change what is served."""


class InboxSettings(Settings):
    """How new files become a window."""

    settle_seconds: float = Field(default=30.0, ge=0)
    """A file that changed within this time may still be written: it waits."""


class BudgetSettings(Settings):
    """What alert-driven retrainings may use; what is over waits until there is room again."""

    tokens: int | None = Field(default=1_000_000, ge=1)
    """Most tokens trained on in a period: four rounds of the default size; None: no limit."""
    minutes: float | None = Field(default=240.0, gt=0)
    """Most minutes in a period; None: no limit. A training over it is ended and can be resumed."""
    hours: float = Field(default=24.0, gt=0)
    """Length of the period, counted back from now."""


class RetrainSettings(Settings):
    """How the champion learns a new window."""

    cooldown_minutes: float = Field(default=360.0, ge=0)
    """Alerts within this time after the last alert-driven retraining wait until it is over."""
    budget: BudgetSettings = BudgetSettings()
    """What alert-driven retrainings may use."""
    alert_roots: tuple[str, ...] = ()
    """Folders and s3:// prefixes whose text another monitor's alert may name, besides the state
    folder and the inbox; `headrace alert` may name any."""

    ewc: EWCSettings = EWCSettings()
    minimum_records: int = Field(default=20, ge=1)
    """Kept records below which there is nothing to learn from."""
    minimum_kept: float = Field(default=0.1, ge=0, le=1)
    """Share of kept records below which the window counts as damaged."""
    compare_plain: bool = True
    """Also train without penalty and replay, so that the report shows what they are worth."""


class CurateConfig(Shared, CurateSettings):
    """Settings of `headrace curate` and `validate`."""


class TokenizeConfig(Shared, TokenizeSettings):
    """Settings of `headrace tokenize`."""


class PretrainConfig(Shared, PretrainSettings):
    """Settings of `headrace pretrain` and `plan`."""


class AlignConfig(Shared, AlignSettings):
    """Settings of `headrace align`."""


class GateConfig(Shared, GateSettings):
    """Settings of `headrace gate`."""


class MonitorConfig(Shared, DriftSettings):
    """Settings of `headrace monitor`."""

    inbox: InboxSettings = InboxSettings()
    """How new files become a window."""

    curate: CurateSettings = CurateSettings()


class RetrainConfig(Shared, RetrainSettings):
    """Settings of `headrace retrain`."""

    curate: CurateSettings = CurateSettings()
    gate: GateSettings = GateSettings()
    monitor: DriftSettings = DriftSettings()


class RunConfig(Shared):
    """Settings of `headrace run`: a verb's settings stand under its name."""

    curate: CurateSettings = CurateSettings()
    tokenize: TokenizeSettings = TokenizeSettings()
    pretrain: PretrainSettings = PretrainSettings()
    align: AlignSettings = AlignSettings()
    gate: GateSettings = GateSettings()
    monitor: DriftSettings = DriftSettings()
    retrain: RetrainSettings = RetrainSettings()


class UpConfig(Shared, StackSettings):
    """Settings of `headrace up`."""


class GcConfig(Shared):
    """Settings of `headrace gc`."""

    retention: RetentionSettings = RetentionSettings()
    """How long what nothing needs any more is kept."""


class DeployConfig(RunConfig):
    """Settings of `headrace deploy`: those of `run`, as the deployments' defaults, and where."""

    file: str | None = None
    """YAML file of the deployments; None: the one that headrace ships."""
    input: tuple[str, ...] = ()
    """Text that `curate/daily` reads; none: that of pinned packages."""
    output: str | None = None
    """Where `curate/daily` writes; None: the state folder."""
    after_release: str | None = None
    """Deployment that `curate/daily` starts with each new release (`lifecycle/on-demand`); None:
    none."""
    inbox: str | None = None
    """Folder or s3:// prefix that `monitor/hourly` watches; None: `inbox` in the state folder."""
    pools: PoolsSettings = PoolsSettings()
    """Work pools that the deployments run in."""
    settle_seconds: float = Field(default=30.0, ge=0)
    """A file of the inbox that changed within this time may still be written: it waits."""


def component(verb: Shared, model: type[C]) -> C:
    """Return the component's own settings out of a verb's, without what all verbs share."""
    return model.model_validate({k: getattr(verb, k) for k in model.model_fields})
