"""What else changes a state folder, as entries of its audit file.

Releases, deployments, thresholds, removals: they decide nothing. Decisions on versions are the
registry's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.infra import audit
from headrace.infra.audit import AuditEntry
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest
from headrace.infra.stack.retention import GC
from headrace.infra.state.state_dir import home

RELEASE, DEPLOY, THRESHOLDS = "release", "deploy", "thresholds"
_SECRET = re.compile(r"secret|password|token$|credential|webhook|access.key|api.key", re.IGNORECASE)
"""In a path: the value is no matter for a record that many read."""
HIDDEN = "(hidden)"
_OF_THE_STACK = ("spark.master", "spark.event_log")
"""Paths whose values follow the stack's ports: a change of them is none of the settings."""
Values = Mapping[str, Json]
"""Settings: nested, or {path: value}."""


def released(folder: str, release_id: str, parent: str | None) -> None:
    """Record that a release was published in `folder`, once."""
    with audit.locked(home().audit):
        place = home().relative(folder)
        known = {(e.get("release_id"), e.get("release")) for e in _entries(RELEASE)}
        if (release_id, place) not in known:
            _append(RELEASE, release_id=release_id, release=place, parent=parent)


def deployed(parameters: Mapping[str, Values], model: str) -> None:
    """Record that deployments were registered, if they or their parameters have changed.

    Args:
        parameters: by deployment (FLOW/DEPLOYMENT). What changes in them since the last entry is
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
        entries = _entries(DEPLOY)
        before = _folded(entries)
        names = sorted(parameters)
        known = entries[-1]["deployments"] if entries else None
        if known != names or now != before:
            _append(DEPLOY, deployments=names, model=model, **_difference(before, now))


def thresholds_used(what: str, values: Values) -> None:
    """Record the thresholds that decide something, if they have changed since they last did.

    Args:
        what: what they are of, as `policy default` or `drift`.
        values: all of them, nested as in the settings.
    """
    now = dict(_flat(values))
    with audit.locked(home().audit):
        before = _folded(e for e in _entries(THRESHOLDS) if e["of"] == what)
        if now != before:
            _append(THRESHOLDS, of=what, **_difference(before, now))


def removed(names: Sequence[str], size: int) -> None:
    """Record that folders of the state folder are about to be removed."""
    with audit.locked(home().audit):
        _append(GC, removed=names, bytes=size)


def cleared(history: Mapping[str, int]) -> None:
    """Record how many runs and events were removed from Prefect's database, if any was."""
    if any(history.values()):
        with audit.locked(home().audit):
            _append(GC, prefect=dict(history))


def _append(action: str, **fields: Json) -> None:
    audit.append(home().audit, action=action, **fields)


def _entries(action: str) -> list[AuditEntry]:
    return [entry for entry in audit.read(home().audit) if entry["action"] == action]


def _flat(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield (dotted path, value) of what in a JSON value is no object and no list of objects."""
    inner: Iterable[tuple[str | int, Json]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(x, Mapping) for x in value):
        inner = enumerate(value)
    if not inner:
        yield path, HIDDEN if value and _SECRET.search(path) else value
    for key, some in inner:
        yield from _flat(some, f"{path}.{key}" if path else str(key))


def _folded(entries: Iterable[AuditEntry]) -> dict[str, Json]:
    """Return {path: value} after all of the changes that entries record."""
    out: dict[str, Json] = {}
    for entry in entries:
        before, after = _changes(entry, "from"), _changes(entry, "to")
        out |= after
        for path in before.keys() - after.keys():
            del out[path]
    return out


def _changes(entry: AuditEntry, side: str) -> Values:
    """Return the paths and values of one side of a recorded change."""
    values = entry[side]
    assert isinstance(values, Mapping)
    return values


def _difference(before: Values, now: Values) -> dict[str, Json]:
    """Return {`from`, `to`}: of each only the paths that are not the same in the other."""
    missing = digest("missing")
    return {
        "from": {k: v for k, v in before.items() if now.get(k, missing) != v},
        "to": {k: v for k, v in now.items() if before.get(k, missing) != v},
    }
