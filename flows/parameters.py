"""What the forms of the deployments are filled with: the kept settings, by flow.

`kept_parameters` is the build step of prefect.yaml, so that `prefect deploy` fills the forms as
`headrace deploy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from headrace.infra import storage
from headrace.infra.configuration.settings import NotifySettings, Settings, Shared
from headrace.infra.json_types import Json
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.settings import (
    CurateConfig,
    DeployConfig,
    InboxSettings,
    MonitorConfig,
    RetrainConfig,
    RunConfig,
)
from headrace.tasks.lifecycle import round_settings


@dataclass(frozen=True)
class FormValues:
    """What the forms of the deployments are filled with."""

    flows: Mapping[str, Mapping[str, JsonValue]]
    """Parameters by flow."""
    model: str
    """Name of the registered model."""
    pools: Mapping[str, str]
    """Name of the work pool by its role."""

    def as_json(self) -> dict[str, Json]:
        """Return {flow: its parameters}, `model` and `pools`."""
        return {**self.flows, "model": self.model, "pools": self.pools}


def kept_parameters() -> dict[str, Json]:
    """Return what `{{ headrace.… }}` stands for, of the settings that `deploy` keeps.

    Raises:
        UsageError: `deploy.json` is damaged.
    """
    return parameters(kept_settings.today()).as_json()


def parameters(settings: DeployConfig) -> FormValues:
    """Return the parameters of the flows, of settings.

    What stands under `notify` is left out: anyone who reads Prefect could read a token in it.
    """
    settings = settings.model_copy(update={"notify": NotifySettings()})
    shared = {k: getattr(settings, k) for k in Shared.model_fields}
    spark = settings.spark
    if cluster := endpoints(home()).spark:
        update = {"master": cluster.master, "event_log": cluster.event_log}
        spark = spark.model_copy(update=update)
    inbox = storage.display(settings.inbox or home().inbox)
    part: dict[str, Settings] = {
        "curate": CurateConfig(**{**shared, "spark": spark}, **dict(settings.curate)),
        "monitor": MonitorConfig(
            **shared,
            **dict(settings.monitor),
            curate=settings.curate,
            inbox=InboxSettings(settle_seconds=settings.settle_seconds),
        ),
        "retrain": _trusting(round_settings(settings), inbox),
        "evaluate": Shared(**shared),
        "lifecycle": RunConfig(**{k: getattr(settings, k) for k in RunConfig.model_fields}),
    }
    own: dict[str, dict[str, JsonValue]] = {
        "curate": {
            "input": [storage.display(uri) for uri in settings.input] or None,
            "output": storage.display(settings.output) if settings.output else None,
            "after_release": settings.after_release,
        },
        "monitor": {"inbox": inbox},
    }
    filled = {k: {**own.get(k, {}), "settings": v.model_dump(mode="json")} for k, v in part.items()}
    pools = {str(role): pool.name for role, pool in settings.pools.by_role().items()}
    return FormValues(filled, settings.model.name, pools)


def _trusting(settings: RetrainConfig, inbox: str) -> RetrainConfig:
    """The settings of a deployed round, in which an alert may name text of the inbox."""
    roots = dict.fromkeys((*map(storage.display, settings.alert_roots), inbox))
    return settings.model_copy(update={"alert_roots": tuple(roots)})
