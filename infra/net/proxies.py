"""Loopback is reached directly, whatever proxy the environment names.

A company's HTTP_PROXY without NO_PROXY would be sent what a client says to a server on this
machine, passwords included.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def exceptions(environ: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY, in both cases that clients read, with loopback in it.

    Empty where the environment names no proxy.
    """
    if not any(value and name.lower().endswith("_proxy") for name, value in environ.items()):
        return {}
    known = f"{environ.get('no_proxy') or ''},{environ.get('NO_PROXY') or ''}".split(",")
    hosts = dict.fromkeys(host.strip() for host in (*known, *LOOPBACK))
    value = "*" if "*" in hosts else ",".join(host for host in hosts if host)
    return {"NO_PROXY": value, "no_proxy": value}


def open_url(
    ask: str | urllib.request.Request, seconds: float, tls: ssl.SSLContext | None = None
) -> HTTPResponse:
    """What a server answers: one on loopback directly, another by the environment's proxy.

    Raises:
        HTTPError: it answers with a status of a failure.
        OSError: it doesn't answer.
        ValueError: it is no address.
    """
    url = ask if isinstance(ask, str) else ask.full_url
    here = urlsplit(url).hostname in LOOPBACK
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({} if here else None), urllib.request.HTTPSHandler(context=tls)
    )
    answer: HTTPResponse = opener.open(ask, timeout=seconds)
    return answer
