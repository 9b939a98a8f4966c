"""How a person gets to the pages of a stack: their addresses, who logs in, and from elsewhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.infra.net.credentials import USER
from headrace.infra.net.servers import experiment_name, runs_page
from headrace.infra.stack.endpoints import Endpoints
from headrace.infra.state.owner import account


@dataclass(frozen=True)
class WaysIn:
    """Where the pages of a stack are."""

    pages: dict[str, str | None]
    """URL by name, None where there is no such page."""
    user: str
    """Who logs in."""
    tunnel: str | None
    """A command for a laptop; None where none is needed."""


def ways_in(found: Endpoints, addresses: Mapping[str, str]) -> WaysIn:
    """Return the ways to the pages of the servers in use.

    Args:
        found: the servers.
        addresses: those of the stack's services, by their names.
    """
    prefect, mlflow = found.prefect, found.mlflow
    pages = {
        "runs": prefect.page if prefect else None,
        "models": f"{mlflow.page}/#/models" if mlflow.page else None,
        "experiments": runs_page(mlflow, experiment_name(os.environ)),
        "spark": addresses.get("spark-history"),
    }
    own = [server.page for server in (prefect, mlflow) if server and server.own]
    local = [url for url in (*own, pages["spark"]) if url]
    return WaysIn(pages, USER, _tunnel(local))


def _tunnel(addresses: Sequence[str]) -> str | None:
    ports = [urlsplit(address).port for address in addresses]
    if not ports:
        return None
    through = " ".join(f"-L {port}:127.0.0.1:{port}" for port in ports)
    return f"ssh {through} {account()}@{socket.gethostname()}"
