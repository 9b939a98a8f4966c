from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError
from headrace.infra.ports import free_port
from headrace.infra.prefect_api import request

Api = tuple[str, list[tuple[str, Any]]]


@pytest.fixture
def api(json_server: Callable[..., Any]) -> Iterator[Api]:
    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        busy = "busy" in path and len(got) < 3
        return 503 if busy else 409 if "taken" in path else 200, {"ok": 1}

    with json_server(answer) as (url, got):
        yield f"{url}/api", got


def test_json_goes_out_and_comes_back(api: Api) -> None:
    url, got = api
    assert request(url, "POST", "/flows/", {"name": "中"}) == {"ok": 1}
    assert got == [("/api/flows/", {"name": "中"})]


def test_a_refusal_is_an_error_unless_it_is_allowed(api: Api) -> None:
    url, _ = api
    assert request(url, "POST", "/taken", {}, allow=(409,)) is None
    with pytest.raises(HeadraceError, match="409"):
        request(url, "POST", "/taken", {})


def test_a_busy_server_is_asked_again(api: Api) -> None:
    url, got = api
    assert request(url, "POST", "/busy", {}) == {"ok": 1} and len(got) == 3
    got.clear()
    with pytest.raises(HeadraceError, match="503"):
        request(url, "POST", "/busy", {}, tries=1)


def test_no_server_is_an_error_that_names_it() -> None:
    port = free_port()
    with pytest.raises(HeadraceError, match=str(port)):
        request(f"http://127.0.0.1:{port}/api", "POST", "/", {})
