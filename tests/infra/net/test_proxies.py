"""A proxy in the environment gets nothing of what is said on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.infra.net import proxies, servers
from headrace.infra.stack import prefect_api
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.services import environment
from headrace.infra.state.state_dir import Home, home

HOSTS = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environ", "value"),
    [
        ({}, None),
        ({"http_proxy": ""}, None),
        ({"HTTP_PROXY": "http://p:3128"}, HOSTS),
        ({"all_proxy": "socks5://p"}, HOSTS),
        ({"https_proxy": "http://p", "NO_PROXY": ".corp, 127.0.0.1"}, f".corp,{HOSTS}"),
        (
            {"https_proxy": "http://p", "no_proxy": "a", "NO_PROXY": "b"},
            f"a,b,{HOSTS}",
        ),
        ({"http_proxy": "http://p", "no_proxy": "*"}, "*"),
    ],
)
def test_loopback_is_an_exception(environ: dict[str, str], value: str | None) -> None:
    names = ("NO_PROXY", "no_proxy") if value else ()
    assert proxies.exceptions(environ) == dict.fromkeys(names, value)
    assert proxies.exceptions({**environ, **proxies.exceptions(environ)}).get("no_proxy") == value


CLIENTS = """
import sys, urllib.request
import httpx, requests
url = sys.argv[1]
requests.post(url, json={}, timeout=30)
httpx.post(url, json={}, timeout=30)
urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=30)
"""


@pytest.fixture
def behind_a_proxy(json_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a proxy got that the environment names without an exception, as a block."""
    for name in ("no_proxy", "NO_PROXY", servers.OWN, *servers.own_prefect("", "").variables):
        monkeypatch.setenv(name, "")  # so that what `join` sets goes with the test
    with json_server(lambda *_: (200, {"from": "the proxy"})) as (address, got):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        yield got


def test_a_proxy_gets_nothing_of_what_is_said_to_an_own_server(
    json_server: Callable[..., Any], behind_a_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with json_server(lambda *_: (200, {"from": "the server"})) as (address, got):
        # What the fixture is for: without an exception the proxy is asked.
        httpx.post(address, json={}, timeout=30)
        assert len(behind_a_proxy) == 1 and not got
        monkeypatch.setenv(servers.OWN, json.dumps([address]))
        monkeypatch.setenv("PREFECT_API_URL", address)
        said = prefect_api.request(address, "POST", "/x", {})
        servers.check_prefect(servers.own_prefect(address, "u:p"))
        assert said == {"from": "the server"}
        for found in (
            {**os.environ, **environment(Home(Path("/h")), "m", {}, os.environ)},
            {**os.environ, **servers.environment([servers.own_prefect(address, "u:p")])},
        ):
            subprocess.run([sys.executable, "-c", CLIENTS, address], env=found, check=True)
        servers.join(servers.own_prefect(address, "u:p"))
        subprocess.run([sys.executable, "-c", CLIENTS, address], check=True)
        assert len(behind_a_proxy) == 1 and len(got) == 2 + 3 * 3


def test_env_prints_the_exception_where_there_is_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NO_PROXY" not in endpoints(home()).environment()
    monkeypatch.setenv("https_proxy", "http://proxy.corp:3128")
    assert endpoints(home()).environment()["NO_PROXY"] == HOSTS
