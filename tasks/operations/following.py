"""What comes after a release: another deployment is started with it, once."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from headrace.infra.artifacts import Release
from headrace.infra.errors import UsageError


@dataclass(frozen=True)
class Started:
    """A flow run that was started."""

    id: str
    name: str


def start_once(name: str, release: Release) -> Started:
    """Start a deployment with the parameter `release`, and return its run.

    The same release gives the same run, so that a retry starts nothing twice, and a run that was
    killed before it came here is made up for by the next.

    Raises:
        UsageError: there is no such deployment.
    """
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise UsageError(
                f"after_release: the server has no deployment {name}",
                "`headrace deploy` registers it, or `headrace deploy --set after_release=null`",
            ) from None
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"release": release.folder},
            idempotency_key=f"after-release-{name}-{release.id}",
        )
    return Started(str(run.id), run.name)
