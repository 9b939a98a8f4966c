"""What else changes a state folder, as lines of its audit file: releases, deployments, thresholds,
removals. They decide nothing; decisions on versions are the registry's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.infra import audit
from headrace.infra.lineage import digest
from headrace.infra.stack.retention import GC
from headrace.infra.state.state_dir import home

RELEASE, DEPLOY, THRESHOLDS = "release", "deploy", "thresholds"
_SECRET = re.compile(r"secret|password|token$|credential|webhook|access.key|api.key", re.IGNORECASE)
"""In a path: the value is no matter for a record that many read."""
HIDDEN = "(hidden)"
_OF_THE_STACK = ("spark.master", "spark.event_log")
"""Paths whose values follow the stack's ports: a change of them is none of the settings."""


def released(folder: str, manifest: Mapping[str, Any]) -> None:
    """A release was published in `folder`; recorded once."""
    said = {"release_id": manifest["release_id"], "release": home().relative(folder)}
    with audit.locked(home().audit):
        if not any(said.items() <= line.items() for line in _lines(RELEASE)):
            _append(RELEASE, **said, parent=manifest.get("parent"))


def deployed(parameters: Mapping[str, Mapping[str, Any]], model: str) -> None:
    """Deployments were registered; recorded where they or their parameters have changed.

    Args:
        parameters: by deployment (FLOW/DEPLOYMENT). What changes in them since the last line is
            recorded, by path.
        model: name of the registered model that they work for.
    """
    now = {
        f"{name}: {path}": value
        for name, given in parameters.items()
        for path, value in _flat(given)
        if not path.endswith(_OF_THE_STACK)
    }
    with audit.locked(home().audit):
        before = _folded(_lines(DEPLOY))
        names = sorted(parameters)
        known = [line["deployments"] for line in _lines(DEPLOY)][-1:]
        if known != [names] or now != before:
            _append(DEPLOY, deployments=names, model=model, **_difference(before, now))


def thresholds_used(what: str, values: Mapping[str, Any]) -> None:
    """Thresholds decide something; recorded where they are others than when they last did.

    Args:
        what: what they are of, as `policy default` or `drift`.
        values: all of them, nested as in the settings.
    """
    now = dict(_flat(values))
    with audit.locked(home().audit):
        before = _folded(line for line in _lines(THRESHOLDS) if line["of"] == what)
        if now != before:
            _append(THRESHOLDS, of=what, **_difference(before, now))


def removed(names: list[str], size: int) -> None:
    """Folders of the state folder are about to be removed."""
    with audit.locked(home().audit):
        _append(GC, removed=names, bytes=size)


def cleared(history: Mapping[str, int]) -> None:
    """Runs and events were removed from Prefect's database (see prefect_history.clear)."""
    if any(history.values()):
        with audit.locked(home().audit):
            _append(GC, prefect=dict(history))


def _append(action: str, **fields: Any) -> None:
    audit.append(home().audit, action=action, **fields)


def _lines(action: str) -> list[dict[str, Any]]:
    return [line for line in audit.read(home().audit) if line["action"] == action]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in a JSON value that is no object and no list of such."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(x, Mapping) for x in value):
        inner = enumerate(value)
    if not inner:
        yield path, HIDDEN if value and _SECRET.search(path) else value
    for key, some in inner:
        yield from _flat(some, f"{path}.{key}" if path else str(key))


def _folded(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """{path: value} after all of the changes that lines record."""
    out: dict[str, Any] = {}
    for line in lines:
        out |= line["to"]
        for path in line["from"].keys() - line["to"].keys():
            del out[path]
    return out


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """{`from`, `to`}: of each only the paths that are not the same in the other."""
    missing = digest("missing")
    return {
        "from": {k: v for k, v in before.items() if now.get(k, missing) != v},
        "to": {k: v for k, v in now.items() if before.get(k, missing) != v},
    }
