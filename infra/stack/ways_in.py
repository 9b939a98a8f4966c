"""How a person gets to the pages of a stack: their addresses, who logs in, and from elsewhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from headrace.infra.net.credentials import USER
from headrace.infra.net.servers import experiment_name, runs_page
from headrace.infra.stack.endpoints import Endpoints
from headrace.infra.state.owner import account


def ways_in(found: Endpoints, services: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{`pages` {name: URL or None}, `user`, `tunnel`: a command for a laptop, None: not needed}."""
    prefect, mlflow = found.prefect, found.mlflow
    at = {str(s["name"]): str(s["address"]) for s in services}
    pages = {
        "runs": prefect.page if prefect else None,
        "models": f"{mlflow.page}/#/models" if mlflow.page else None,
        "experiments": runs_page(mlflow, experiment_name(os.environ)),
        "spark": at.get("spark-history"),
    }
    own = [server.page for server in (prefect, mlflow) if server and server.own]
    local = [url for url in (*own, pages["spark"]) if url]
    return {"pages": pages, "user": USER, "tunnel": _tunnel(local)}


def _tunnel(addresses: Sequence[str]) -> str | None:
    ports = [urlsplit(address).port for address in addresses]
    if not ports:
        return None
    through = " ".join(f"-L {port}:127.0.0.1:{port}" for port in ports)
    return f"ssh {through} {account()}@{socket.gethostname()}"
