"""What no model version refers to, found and removed: releases, runs, token folders.

A version refers to its export's run, its release, and whatever the tags of its own MLflow run, of
that run's parent and of the parent's other children name. So does a decision on it in audit.jsonl,
whatever MLflow says. An alert that waits in the outbox refers
to its window and its reference. What is kept keeps what it names in turn: each folder says in a few
JSON files what it was made of. So a chain that led to a version is kept whole, and doing it again
finds everything done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.infra import console
from headrace.infra.registry import audit
from headrace.infra.registry.rules import DECISIONS, PLACES
from headrace.infra.stack import retention
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.state import busy, quarantine
from headrace.infra.state.state_dir import Home, home
from headrace.tasks import audit_records
from headrace.tasks.mlflow_log import tracking
from headrace.tasks.operations import prefect_history
from headrace.tasks.task import OF

RELEASES, RUNS, TOKENS = "releases", "runs", "tokens"
_SAYS = {
    RELEASES: ("manifest.json",),
    RUNS: ("*.json", "export/lineage.json"),
    TOKENS: ("manifest.json",),
}
"""Files in which a folder of each kind says what it was made of."""
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Folder:
    """A release, run or token folder of the state folder."""

    kind: str
    path: Path
    names: frozenset[str]
    """Every word of its JSON files: among them the names of the folders that it refers to."""
    of: str | None
    """The run that it only measures."""
    bytes: int
    changed: float
    """When anything in it was last written (seconds since 1970)."""

    @property
    def name(self) -> str:
        """Its name, which no other folder has."""
        return self.path.name

    @property
    def shown(self) -> str:
        """Its path in the state folder."""
        return f"{self.kind}/{self.name}"


def collect(
    keep: int, dry_run: bool = False, settings: RetentionSettings | None = None
) -> dict[str, Any]:
    """The answer of `headrace gc`: {`removed`, `kept`, `expired`, `prefect`, `bytes`, `dry_run`}.

    Args:
        keep: unreferenced releases, and likewise runs, to keep: the newest.
        dry_run: only say what would be removed.
        settings: how long the rest is kept; None: as by default.

    Raises:
        UsageError: a command or a flow is at work in the state folder.
    """
    here, settings = home(), settings or RetentionSettings()
    with busy.alone(here):
        freed = retention.measure(here.trash)[0]
        if not dry_run:
            retention.empty(here.trash)
        folders = survey(here)
        kept = to_keep(folders, _roots(here), keep)
        gone = [f for f in folders if f.name not in kept]
        for folder in gone:
            console.say(f"gc: {folder.shown}, {folder.bytes / 1e6:,.1f} MB")
        old = retention.expired(here, settings)
        old = [e for e in old if not any(e.path.is_relative_to(f.path) for f in gone)]
        if dry_run:
            history = prefect_history.expired(here, settings)
        else:
            if gone:
                audit_records.removed([f.shown for f in gone], sum(f.bytes for f in gone))
            remove(here, gone)
            old = retention.remove(here, old)
            history = prefect_history.clear(here, settings)
            audit_records.cleared(history)
            freed += history.pop("bytes", 0)
    return {
        "removed": [f.shown for f in gone],
        "kept": [f.shown for f in folders if f.name in kept],
        "expired": [{"kind": e.kind, "path": here.relative(e.path), "bytes": e.bytes} for e in old],
        "prefect": history,
        "bytes": freed + sum(f.bytes for f in gone) + sum(e.bytes for e in old),
        "dry_run": dry_run,
    }


def survey(here: Home) -> list[Folder]:
    """All folders that may be removed. Links are not followed, and are not among them."""
    found = []
    for kind in (RELEASES, RUNS, TOKENS):
        top = here.root / kind
        if top.is_dir() and not top.is_symlink():
            paths = sorted(p for p in top.iterdir() if p.is_dir() and not p.is_symlink())
            found += [_folder(kind, path) for path in paths]
    return found


def _folder(kind: str, path: Path) -> Folder:
    names: set[str] = set()
    of = None
    for pattern in _SAYS[kind]:
        for file in path.glob(pattern):
            text = file.read_text(encoding="utf-8", errors="replace")
            names |= set(_NAME.findall(text))
            of = of or _measured(text)
    size, changed = retention.measure(path)
    return Folder(kind, path, frozenset(names), of, size, changed)


def _measured(text: str) -> str | None:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said.get(OF) if isinstance(said, dict) else None


def _roots(here: Home) -> set[str]:
    """Every word of the tags around every model version, of decisions, and of alerts that are on
    their way."""
    tags = (value for tags in tracking().version_tags() for value in tags.values())
    # What was set aside as damaged may be put back by a person.
    files = (p for top in (here.outbox, here.quarantine) for p in top.rglob("*") if p.is_file())
    alerts = (p.read_text(encoding="utf-8", errors="replace") for p in files)
    decided = (str(e.get(p)) for e in audit.read(here.audit) if e["action"] in DECISIONS
               for p in PLACES)  # fmt: skip
    return {word for text in (*tags, *alerts, *decided) for word in _NAME.findall(text)}


def to_keep(folders: list[Folder], roots: Iterable[str], keep: int) -> set[str]:
    """Names of the folders that stay: what `roots` name, the newest others, and what those name."""
    kept = _reached(folders, set(roots))
    for kind in (RELEASES, RUNS):
        spare = [f for f in folders if f.kind == kind and f.name not in kept]
        # By name where two are equally new, so that the choice doesn't depend on the disk's order.
        newest = sorted(spare, key=lambda f: (f.changed, f.name), reverse=True)[:keep]
        kept |= {f.name for f in newest}
    kept = _reached(folders, kept)
    # Tokens that no run uses live as long as their release.
    releases = {f.name for f in folders if f.kind == RELEASES and f.name in kept}
    return kept | {f.name for f in folders if f.kind == TOKENS and f.names & releases}


def _reached(folders: list[Folder], start: set[str]) -> set[str]:
    reached: set[str] = set()
    named = set(start)
    while more := [
        f for f in folders if f.name not in reached and (f.name in named or f.of in reached)
    ]:
        reached |= {f.name for f in more}
        named = named.union(*(f.names for f in more))
    return reached


def remove(here: Home, gone: list[Folder]) -> None:
    """Remove folders. A kill at any moment leaves each whole or in the trash, never in half."""
    names = {f.name for f in gone}
    latest = here.root / "latest.json"
    said = quarantine.read(latest, quarantine.as_object)
    if said is not None and said.get("release_id") in names:
        # It would point at nothing.
        latest.unlink()
    for folder in gone:
        here.trash.mkdir(exist_ok=True)
        folder.path.rename(here.trash / f"{folder.kind}-{folder.name}")
    retention.empty(here.trash)
