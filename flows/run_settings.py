"""Settings of a deployed run: what `headrace deploy` keeps, the deployment's and the run's own."""

from __future__ import annotations

from typing import TypeVar

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from headrace.flows.parameters import parameters
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import Shared, build
from headrace.infra.net.ports import HOST
from headrace.infra.stack import record
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.settings import CurateConfig

S = TypeVar("S", bound=Shared)


def whole(settings: S, name: str, run: FlowRun) -> S:
    """A run's settings laid over its deployment's, and these over what `headrace deploy` keeps.

    A run, or a deployment of a file of one's own, may give some of them only.

    Args:
        settings: as the flow got them.
        name: of the flow.
        run: a deployment's.
    """
    given = run.parameters.get("settings")
    if run.deployment_id is None or not isinstance(given, dict):
        return settings
    with get_client(sync_client=True) as client:
        own = client.read_deployment(run.deployment_id).parameters.get("settings") or {}
    model = type(settings)
    kept = parameters(kept_settings.today()).flows[name]["settings"]
    assert isinstance(kept, dict), "each flow has settings"
    below = laid(kept, own, model)
    return build(model, laid(below, given, model), "settings of this run")


def on_todays_cluster(settings: CurateConfig) -> CurateConfig:
    """The stack's own cluster, which may have moved to another port since `deploy`."""
    up = record.running(home())
    if up is None or not settings.spark.master.startswith(f"spark://{HOST}:"):
        return settings
    spark = settings.spark.model_copy(update={"master": up.spark_master})
    return settings.model_copy(update={"spark": spark})
