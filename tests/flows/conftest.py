"""A Prefect server for tests of what is registered with one; nothing works on its runs."""

import os
from collections.abc import Iterator

import pytest
from prefect_process import prefect_process

from headrace.infra.stack.pools import ROLES as POOLS
from headrace.infra.stack.prefect_api import request


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the API of a real Prefect server that has headrace's work pools."""
    env = {
        **os.environ,
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    with prefect_process(tmp_path_factory.mktemp("prefect"), env) as (api, _):
        for pool in POOLS:
            request(api, "POST", "/work_pools/", {"name": pool, "type": "process"})
        yield api


@pytest.fixture
def on_server(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The Prefect of this process speaks to the server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server
    # The next test has another state folder, whose deploy would be refused those of this one.
    request(prefect_server, "DELETE", "/variables/name/headrace_deployments", None, allow=(404,))
