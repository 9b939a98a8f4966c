"""The work pools: what a worker of the stack serves, and what a run may change of its process.

A pool of headrace's own takes neither a command nor environment variables from a run, as the
template of Prefect's process pool would: what a run's process executes is the flow of its
deployment, and nothing that a caller of the API gives.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.infra.stack.prefect_api import request

Role = Literal["spark", "training"]
ROLES: tuple[Role, ...] = ("spark", "training")
"""What a pool is for; each has one worker, with one run at a time."""

TEMPLATE: dict[str, Any] = {
    "job_configuration": {
        "env": {},
        "labels": {},
        "name": "{{ name }}",
        "stream_output": "{{ stream_output }}",
    },
    "variables": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Name", "description": "Of the run's process."},
            "stream_output": {"type": "boolean", "title": "Stream output", "default": False},
        },
        "additionalProperties": False,
    },
}
"""Base job template of a process pool."""


class Pool(Settings):
    """A work pool."""

    name: str = Field(pattern=r"^[^/%&<>]+$")
    """Its name."""
    type: str = Field(default="process", pattern=r"^[a-z][a-z0-9-]*$")
    """Its type; another than `process` needs Prefect's package for it (prefect-kubernetes …)."""


class PoolsSettings(Settings):
    """The work pools that the deployments use and `up` starts workers for."""

    spark: Pool = Pool(name="spark")
    """Of curation and monitoring."""
    training: Pool = Pool(name="training")
    """Of what trains a model."""

    def by_role(self) -> dict[Role, Pool]:
        """Each pool by what it is for."""
        return {"spark": self.spark, "training": self.training}


def make(api: str, pools: PoolsSettings, own: bool) -> None:
    """Make the work pools where they are missing, one run at a time each.

    On another's server a pool that is there stays as it is.

    Raises:
        HeadraceError: the server doesn't answer, or refuses.
    """
    for pool in pools.by_role().values():
        body: dict[str, Any] = {"concurrency_limit": 1}
        if pool.type == "process":
            body["base_job_template"] = TEMPLATE
        there = {"name": pool.name, "type": pool.type}
        request(api, "POST", "/work_pools/", {**there, **body}, allow=(409,))  # it is there already
        if own:
            request(api, "PATCH", f"/work_pools/{quote(pool.name, safe='')}", body)


def of_deployments(api: str, names: Collection[str]) -> set[str]:
    """Return the work pools of some deployments (FLOW/DEPLOYMENT), as the server has them.

    Raises:
        HeadraceError: the server doesn't answer.
    """
    found = [
        request(api, "GET", f"/deployments/name/{quote(name)}", None, allow=(404,))
        for name in names
    ]
    return {one["work_pool_name"] for one in found if one and one["work_pool_name"]}


def without_worker(api: str, names: Collection[str]) -> list[str]:
    """Return the work pools without a worker online: a run there waits without an end.

    Raises:
        HeadraceError: the server doesn't answer.
    """
    out = []
    for name in sorted(names):
        path = f"/work_pools/{quote(name, safe='')}"
        pool = request(api, "GET", path, None, allow=(404,))
        # Runs of a push or a managed pool are started by the server.
        if pool is None or pool["type"].endswith((":push", ":managed")):
            continue
        workers = request(api, "POST", f"{path}/workers/filter", {})
        if not any(worker["status"] == "ONLINE" for worker in workers):
            out.append(name)
    return out
