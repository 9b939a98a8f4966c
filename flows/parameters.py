"""What the forms of the deployments are filled with: the kept settings, by flow.

`kept_parameters` is the build step of prefect.yaml, so that `prefect deploy` fills the forms as
`headrace deploy` does.
"""

from __future__ import annotations

from typing import Any

from headrace.flows.command import LOCAL, profile_settings
from headrace.infra import stack, storage
from headrace.infra.home import home
from headrace.infra.settings import NotifySettings, Settings, Shared
from headrace.tasks import kept_settings
from headrace.tasks.chain import round_settings
from headrace.tasks.settings import (
    CurateVerb,
    DeployVerb,
    InboxSettings,
    MonitorVerb,
    RunVerb,
)


def kept_parameters() -> dict[str, Any]:
    """{flow: its parameters}, and `model`, of the settings that `headrace deploy` keeps.

    Raises:
        UsageError: `deploy.json` is damaged.
    """
    kept = kept_settings.read()
    return parameters(kept_settings.effective(kept, profile_settings(kept.profile or LOCAL)))


def parameters(settings: DeployVerb) -> dict[str, Any]:
    """{flow: its parameters}, and `model`, of settings; as JSON.

    What stands under `notify` is left out: everybody who reads Prefect could read a token in it.
    """
    settings = settings.model_copy(update={"notify": NotifySettings()})
    shared = {k: getattr(settings, k) for k in Shared.model_fields}
    spark = settings.spark
    if up := stack.running(home()):
        spark = spark.model_copy(update={"master": up.spark_master, "event_log": up.event_log})
    part: dict[str, Settings] = {
        "curate": CurateVerb(**{**shared, "spark": spark}, **dict(settings.curate)),
        "monitor": MonitorVerb(
            **shared,
            **dict(settings.monitor),
            curate=settings.curate,
            inbox=InboxSettings(settle_seconds=settings.settle_seconds),
        ),
        "retrain": round_settings(settings),
        "evaluate": Shared(**shared),
        "lifecycle": RunVerb(**{k: getattr(settings, k) for k in RunVerb.model_fields}),
    }
    own: dict[str, dict[str, Any]] = {
        "curate": {
            "input": [storage.display(uri) for uri in settings.input] or None,
            "output": storage.display(settings.output) if settings.output else None,
            "after_release": settings.after_release,
        },
        "monitor": {"inbox": storage.display(settings.inbox or home().inbox)},
    }
    filled = {k: {**own.get(k, {}), "settings": v.model_dump(mode="json")} for k, v in part.items()}
    return {**filled, "model": settings.model.name}
