from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.errors import HeadraceError
from headrace.infra.net.ports import free_port
from headrace.infra.stack import prefect_api
from headrace.infra.stack.prefect_api import StatusError, every, pages, request

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


@given(st.integers(0, 900), st.integers(1, 200))
def test_all_rows_come_however_many(count: int, size: int) -> None:
    asked = []

    def read(limit: int, offset: int, **wanted: str) -> list[int]:
        asked.append(wanted)
        return list(range(count))[offset : offset + limit]

    with mock.patch.object(prefect_api, "PAGE", size):
        assert list(pages(read, sort="ID_DESC")) == list(range(count))
    assert len(asked) == count // size + 1 and {"sort": "ID_DESC"} in asked


def test_every_asks_page_by_page(json_server: Callable[..., Any]) -> None:
    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        body = got[-1][1]
        return 200, list(range(500))[body["offset"] : body["offset"] + body["limit"]]

    with json_server(answer) as (url, got):
        assert every(url, "/flows/filter", {"sort": "NAME_ASC"}) == list(range(500))
    assert [(b["sort"], b["offset"]) for _, b in got] == [("NAME_ASC", n) for n in (0, 200, 400)]


@pytest.mark.parametrize("status", [401, 404, 422, 500])
def test_a_refusal_tells_its_status(json_server: Callable[..., Any], status: int) -> None:
    with json_server(lambda *_: (status, {})) as (url, _), pytest.raises(StatusError) as error:
        request(url, "POST", "/events", [])
    assert error.value.status == status and error.value.hint
