"""Which MLflow a state folder keeps its models on, so that no shell splits them by mistake.

    HOME/registry.json    {"tracking_uri": where they are; null: in the state folder's own store}

The own store counts as one, whether a stack serves it or not. What another's server is was decided
when the stack or the deployments were set up for it, or the first version was registered there; a
shell that names another, or none, would see an empty registry, whose models nothing refers to.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.parse
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.net import servers
from headrace.infra.net.addresses import shown
from headrace.infra.stack import database, record
from headrace.infra.stack.endpoints import Endpoints
from headrace.infra.state.state_dir import Home

OWN: None = None
"""As a place: the state folder's own store."""


def file(home: Home) -> Path:
    """Where it is kept; whoever moves to another registry on purpose writes its address there."""
    return home.root / "registry.json"


def check(home: Home, found: Endpoints) -> None:
    """Raise unless the servers that are used have the registry that the folder keeps to.

    Raises:
        UsageError: they have another one.
    """
    known, place = recorded(home)
    used = _place(home, found.mlflow.url, found.mlflow.own)
    if not known or place == used:
        return
    other = json.dumps({"tracking_uri": used})
    leave = f"to keep to another registry from now on, write {other} into {file(home)}"
    if place is OWN:
        raise UsageError(
            f"{home.root} keeps its models in its own store, and {servers.MLFLOW} names "
            f"{shown(str(used))}",
            f"unset {servers.MLFLOW}; or, {leave}",
        )
    names = "names none" if used is OWN else f"names {shown(used)}"
    raise UsageError(
        f"{home.root} keeps its models on {shown(place)}, and {servers.MLFLOW} {names}",
        f"export {servers.MLFLOW}={shown(place)} (with its credentials); or, {leave}",
    )


def note(home: Home, url: str, own: bool) -> None:
    """Keep which registry is used from here on; the one that is kept stays.

    Args:
        home: the state folder.
        url: MLflow's tracking URI.
        own: whether it is the state folder's own store, or the stack's server of it.
    """
    if not file(home).exists():
        storage.write_json(file(home), {"tracking_uri": _place(home, url, own)})


def recorded(home: Home) -> tuple[bool, str | None]:
    """(whether the folder keeps to a registry, which).

    Where nothing was noted yet it is that of the stack that is up for another's, or the own store
    as soon as a version is registered there: an earlier version of headrace may have done so.

    Raises:
        UsageError: what was noted can't be read.
    """
    path = file(home)
    try:
        said: Any = json.loads(path.read_bytes())
        place = said["tracking_uri"]
        if not isinstance(place, str | None):
            raise TypeError
        return True, place
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path}: this doesn't say which registry the state folder keeps to",
            'restore it from a backup, or write {"tracking_uri": "http://HOST:PORT"} into it, null '
            "for the folder's own store",
        ) from None
    up = record.running(home)
    if up is not None and not up.serves("mlflow"):
        return True, _plain(up.tracking_uri)
    return _has_versions(Path(home.mlflow_uri.removeprefix("sqlite:///"))), OWN


def _place(home: Home, url: str, own: bool) -> str | None:
    """Return a tracking URI as it is kept: without password, and None for the own store."""
    if own or url == database.stores(home, database.kept(home))[1]:
        return OWN
    up = record.running(home)
    if up is not None and up.serves("mlflow") and _plain(url) == _plain(up.tracking_uri):
        return OWN
    return _plain(url)


def _plain(url: str) -> str:
    """Strip a URL of login and final slash, and lowercase the parts that may be in any case."""
    parts = urllib.parse.urlsplit(url)
    if not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2].lower()
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _has_versions(store: Path) -> bool:
    """Whether a model version is registered in MLflow's SQLite file."""
    if not store.is_file():
        return False
    with contextlib.suppress(sqlite3.Error):
        uri = f"file:{urllib.parse.quote(str(store))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            found = connection.execute("select 1 from model_versions limit 1").fetchone()
            return found is not None
    return False
