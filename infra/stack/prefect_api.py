"""Prefect's HTTP API where importing Prefect's client would cost seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue

from headrace.infra.errors import HeadraceError
from headrace.infra.net import servers
from headrace.infra.net.addresses import shown
from headrace.infra.net.http_client import REFUSED, NoAnswerError
from headrace.infra.state.state_dir import home

T = TypeVar("T")
BUSY = 503
PAGE = 200
"""Rows that the server gives at once."""
_SECONDS = 90.0
"""On a busy machine a write to SQLite waits for others for up to a minute."""


class StatusError(HeadraceError):
    """The server answers with a status that says no; `status` is its number."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


def _log() -> Path:
    return home().logs / "stack" / "prefect.log"


def _see_log(server: servers.Server) -> str:
    if not server.own:
        return f"check {servers.PREFECT}; its own log says more"
    return f"`headrace up` restarts what has died; its log is {_log()}"


def request(
    api: str, method: str, path: str, body: object, allow: tuple[int, ...] = (), tries: int = 20
) -> Any:  # noqa: ANN401 # JSON of any shape
    """Return what the server at `api` (…/api) answers, as JSON; None for a status in `allow`.

    It is shown the credentials that this process's environment has for it (servers.join). A server
    that is busy (503: its database was locked, and nothing was done) is asked again.

    Raises:
        StatusError: it refuses.
        HeadraceError: it doesn't answer.
    """
    server = servers.joined_prefect(os.environ, api)
    try:
        answer = server.ask(api + path, _SECONDS, method=method, body=body)
        while answer.status == BUSY and BUSY not in allow and (tries := tries - 1):
            time.sleep(1)
            answer = server.ask(api + path, _SECONDS, method=method, body=body)
    except NoAnswerError as error:
        raise HeadraceError(
            f"Prefect at {shown(api)} does not answer: {error}", _see_log(server)
        ) from None
    if answer.status in allow:
        return None
    if answer.status in REFUSED:
        raise StatusError(
            f"Prefect at {shown(api)} refuses the credentials ({answer.status})",
            servers.prefect_login(server),
            status=answer.status,
        )
    if not answer.ok:
        raise StatusError(
            f"Prefect answers {answer.status} to {method} {path}",
            _see_log(server),
            status=answer.status,
        )
    try:
        return answer.json()
    except ValueError:
        raise HeadraceError(
            f"Prefect at {shown(api)} answers with a web page instead of its API", _see_log(server)
        ) from None


def pages(read: Callable[..., Sequence[T]], **wanted: object) -> Iterator[T]:
    """Return all rows that `read` gives, a page at a time.

    Args:
        read: takes `limit`, `offset` and what is wanted, as the methods of Prefect's client do.
        wanted: what is wanted; a sort order that doesn't change meanwhile, too, where rows do.
    """
    offset = 0
    while True:
        page = read(**wanted, limit=PAGE, offset=offset)
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            return


def every(api: str, path: str, body: Mapping[str, JsonValue]) -> list[Any]:
    """Return all rows that a POST to `path` (…/filter) gives, however many.

    Raises:
        HeadraceError: as of `request`.
    """

    def read(**page: int) -> list[Any]:
        return list(request(api, "POST", path, {**body, **page}) or ())

    return list(pages(read))
