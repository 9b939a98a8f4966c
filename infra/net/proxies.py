"""Loopback is reached directly, whatever proxy the environment names.

A company's HTTP_PROXY without NO_PROXY would be sent what a client says to a server on this
machine, passwords included.
"""

from __future__ import annotations

from collections.abc import Mapping

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
