"""HTTP by httpx: loopback directly, any other host by the environment's proxy.

httpx is imported where a server is asked, since most commands ask none.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from headrace.infra.net.proxies import LOOPBACK

REFUSED = (401, 403)
"""Statuses by which a server refuses the credentials."""


class NoAnswerError(OSError):
    """A server doesn't answer, or not by HTTP; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What a server answers."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the server has done what was asked."""
        return self.status < 400

    def json(self) -> Any:  # noqa: ANN401 # JSON of any shape
        """Return the JSON value of the body; None for an empty one.

        Raises:
            ValueError: it is another text.
        """
        return json.loads(self.body) if self.body else None


def ask(
    url: str,
    seconds: float,
    *,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Return what a server answers, whatever the status; redirects are followed.

    Args:
        url: of http or https.
        seconds: how long to wait for a connection, and for each piece of the answer.
        method: GET, POST, …
        body: a JSON value to send; None: nothing.
        headers: to send.
        tls: how certificates are checked and shown; None: by the system's authorities.

    Raises:
        NoAnswerError: it doesn't answer, or the URL is none.
    """
    import httpx

    content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    sent = {"content-type": "application/json", **(headers or {})} if content else headers
    try:
        with httpx.Client(
            verify=tls or _system_authorities(),
            trust_env=urlsplit(url).hostname not in LOOPBACK,
            timeout=seconds,
            follow_redirects=True,
        ) as client:
            answer = client.request(method, url, content=content, headers=sent)
    except httpx.RemoteProtocolError as error:
        raise NoAnswerError(f"what it sends is not HTTP ({error})") from None
    # ImportError: of a SOCKS proxy without its package.
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError, OSError) as error:
        raise NoAnswerError(str(error) or type(error).__name__) from None
    return Answer(answer.status_code, answer.content)


def answers(url: str, seconds: float = 3.0, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a server answers at a URL without a server error; `tls`: see `ask`."""
    try:
        return ask(url, seconds, tls=tls).status < 500
    except NoAnswerError:
        return False


@cache
def _system_authorities() -> ssl.SSLContext:
    # httpx logs each address at INFO, and an address may hold a token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return ssl.create_default_context()
