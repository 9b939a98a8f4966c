"""Servers by the variables of their own clients: whose they are, and what they are shown."""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from headrace.infra import servers
from headrace.infra.errors import UsageError
from headrace.infra.servers import Server

PREFECT = {"PREFECT_API_URL": "http://prefect.example:4200/api"}
MLFLOW = {"MLFLOW_TRACKING_URI": "http://mlflow.example:5000"}


def basic(word: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"PREFECT_API_AUTH_STRING": "admin:p w"}, basic("admin:p w")),
        ({"PREFECT_API_KEY": "pnu_1"}, {"Authorization": "Bearer pnu_1"}),
        ({"PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Proxy": "a"}'}, {"X-Proxy": "a"}),
        # MLflow's are not for Prefect.
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, {}),
    ],
)
def test_what_prefect_is_shown(variables: dict[str, str], headers: dict[str, str]) -> None:
    found = servers.their_prefect(PREFECT | variables)
    assert found is not None and found.headers == headers and not found.own
    assert (
        servers.joined_prefect(PREFECT | variables, PREFECT["PREFECT_API_URL"]).headers == headers
    )
    assert servers.joined_prefect(PREFECT | variables, "http://elsewhere/api").headers == {}


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p:1"}, basic("u:p:1")),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, {"Authorization": "Bearer t"}),
        ({"PREFECT_API_AUTH_STRING": "admin:pw"}, {}),
    ],
)
def test_what_mlflow_is_shown(variables: dict[str, str], headers: dict[str, str]) -> None:
    found = servers.their_mlflow(MLFLOW | variables)
    assert found is not None and found.headers == headers and not found.own


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("http://h:4200/api", "http://h:4200"),
        ("https://h/prefect/api/", "https://h/prefect"),
        (
            "https://api.prefect.cloud/api/accounts/1a/workspaces/2b",
            "https://app.prefect.cloud/account/1a/workspace/2b",
        ),
    ],
)
def test_the_page_that_belongs_to_an_api(api: str, page: str) -> None:
    found = servers.their_prefect({"PREFECT_API_URL": api})
    assert found is not None and found.page == page


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no address"):
        servers.their_prefect({"PREFECT_API_URL": "localhost:4200"})
    assert servers.their_prefect({"PREFECT_API_URL": ""}) is None
    database = servers.their_mlflow({"MLFLOW_TRACKING_URI": "postgresql://u:p@h/m"})
    assert database is not None and database.page is None


def test_what_headrace_has_joined_is_not_taken_for_anothers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL", "HEADRACE_OWN_SERVERS", "PREFECT_API_KEY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "of:another")
    own = servers.own_prefect("http://127.0.0.1:4200/api", None)
    servers.join(own)
    assert os.environ["PREFECT_API_URL"] == own.url and servers.their_prefect(os.environ) is None
    assert "PREFECT_API_AUTH_STRING" not in os.environ, "it was for another server"
    monkeypatch.setenv("PREFECT_API_URL", "http://theirs.example/api")
    assert servers.their_prefect(os.environ) is not None


def test_what_a_child_finds_names_headraces_own() -> None:
    own = servers.own_mlflow("http://127.0.0.1:5000", "secret")
    theirs = servers.their_prefect({**PREFECT, "PREFECT_API_KEY": "k", "HOME": "/h"})
    assert theirs is not None
    found = servers.environment([theirs, own])
    assert found["PREFECT_API_KEY"] == "k" and found["MLFLOW_TRACKING_PASSWORD"] == "secret"
    assert "HOME" not in found and json.loads(found[servers.OWN]) == [own.url]
    assert "secret" not in repr(own)


@pytest.mark.parametrize(
    ("status", "said"), [(200, None), (401, "refuses the credentials"), (404, "answers 404")]
)
def test_a_server_is_checked_with_its_credentials(
    json_server: Callable[..., Any], status: int, said: str | None
) -> None:
    with json_server(lambda *_: (status, [])) as (url, got):
        server = Server(f"{url}/api", url, {"PREFECT_API_KEY": "k"}, own=False)
        if said is None:
            servers.check_prefect(server)
        else:
            with pytest.raises(UsageError, match=said):
                servers.check_prefect(server)
        assert got[0][0] == "/api/flows/filter"


def test_a_server_that_is_gone_is_named() -> None:
    for check, url in ((servers.check_prefect, "http://127.0.0.1:1/api"),
                       (servers.check_mlflow, "http://127.0.0.1:1")):  # fmt: skip
        with pytest.raises(UsageError, match=r"127\.0\.0\.1:1") as error:
            check(Server(url, url, {}, own=False))
        assert "does not answer" in error.value.message
