"""What no model version refers to, found and removed: releases, runs, token folders.

A version refers to its export's run, its release, and what the tags of its own MLflow run, of that
run's parent and of the parent's other children name. So does a decision on it in audit.jsonl,
whatever MLflow says. A run at work refers to what its tags name; an alert that waits in the outbox
and a round of retraining under way refer to their windows. What is kept keeps what it was made of
in turn (folders.py). So a chain that led to a version is kept whole, and doing it again finds
everything done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.infra import audit, console
from headrace.infra.files import quarantine
from headrace.infra.registry.rules import DECISIONS, Decision
from headrace.infra.stack import retention
from headrace.infra.stack.retention import Expired, RetentionSettings
from headrace.infra.state import lock
from headrace.infra.state.state_dir import Home, home
from headrace.tasks import audit_records
from headrace.tasks.mlflow_log import tracking
from headrace.tasks.operations import prefect_history
from headrace.tasks.operations.folders import Folder, Round, named, read, survey, texts, words

_REFERENCES = ("export", "release", "folder", "release_id")
"""Tags whose values name a folder."""


@dataclass(frozen=True)
class Removed:
    """A file or folder whose time was over."""

    kind: str
    path: str
    """In the state folder."""
    bytes: int


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be."""

    removed: list[str]
    """Paths of folders in the state folder."""
    kept: list[str]
    expired: list[Removed]
    prefect: dict[str, int]
    """Runs and events of Prefect's database."""
    bytes: int
    dry_run: bool


def collect(
    keep: int, dry_run: bool = False, settings: RetentionSettings | None = None
) -> Collected:
    """Remove what nothing refers to, and what is old.

    Args:
        keep: unreferenced releases to keep, and as many runs: the newest.
        dry_run: only say what would be removed.
        settings: how long the rest is kept; None: as by default.

    Raises:
        UsageError: a command or a flow is at work in the state folder.
    """
    here, settings = home(), settings or RetentionSettings()
    with lock.alone_in(here):
        freed = retention.measure(here.trash)[0]
        if not dry_run:
            retention.empty(here.trash)
        folders = survey(here)
        kept = to_keep(folders, _roots(here), keep)
        gone = [f for f in folders if f.name not in kept]
        for folder in gone:
            console.say(f"gc: {folder.shown}, {folder.bytes / 1e6:,.1f} MB")
        old = _expired(here, settings, gone)
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
    return Collected(
        removed=[f.shown for f in gone],
        kept=[f.shown for f in folders if f.name in kept],
        expired=[Removed(e.kind, here.relative(e.path), e.bytes) for e in old],
        prefect=history,
        bytes=freed + sum(f.bytes for f in gone) + sum(e.bytes for e in old),
        dry_run=dry_run,
    )


def _expired(here: Home, settings: RetentionSettings, gone: Sequence[Folder]) -> list[Expired]:
    """Return what is old, besides what lies in folders that go anyway."""
    old = retention.expired(here, settings)
    return [e for e in old if not any(e.path.is_relative_to(f.path) for f in gone)]


def _roots(here: Home) -> set[str]:
    """Return the names of folders that something outside of these folders refers to."""
    decisions = (Decision.of(e) for e in audit.read(here.audit) if e["action"] in DECISIONS)
    places = [place for made in decisions for place in made.places]
    rounds = (read(path, Round) for path in (here.windows / "rounds").glob("*.json"))
    places += [w for r in rounds if r and r.state == "UnderWay" for w in r.windows]
    # Alerts of other monitors have no form; what was set aside as damaged may be put back.
    files = (p for top in (here.outbox, here.quarantine) for p in top.rglob("*"))
    out = {name for place in places for name in named(place)} | words(texts(files))
    store = tracking()
    for tags in (*store.version_tags(), *store.tags_at_work()):
        out |= _tagged(tags)
    return out


def _tagged(tags: Mapping[str, str]) -> set[str]:
    """Return the names of the folders that tags of MLflow refer to.

    Where none of those that headrace sets is there, every word may name one.
    """
    places = [tags[key] for key in _REFERENCES if key in tags]
    return {name for p in places for name in named(p)} if places else words(tags.values())


def to_keep(folders: list[Folder], roots: Iterable[str], keep: int) -> set[str]:
    """Return the names of the folders that stay: `roots`, the newest others, and their parents."""
    kept = _reached(folders, set(roots))
    for kind in ("releases", "runs"):
        spare = [f for f in folders if f.kind == kind and f.name not in kept]
        # By name where two are equally new, so that the choice doesn't depend on the disk's order.
        newest = sorted(spare, key=lambda f: (f.changed, f.name), reverse=True)[:keep]
        kept |= {f.name for f in newest}
    kept = _reached(folders, kept)
    # Tokens that no run uses live as long as their release.
    releases = {f.name for f in folders if f.kind == "releases" and f.name in kept}
    return kept | {f.name for f in folders if f.kind == "tokens" and f.names & releases}


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
    newest = quarantine.read(latest, quarantine.as_object)
    if newest is not None and newest.get("release_id") in names:
        # It would point at nothing.
        latest.unlink()
    for folder in gone:
        here.trash.mkdir(exist_ok=True)
        folder.path.rename(here.trash / f"{folder.kind}-{folder.name}")
    retention.empty(here.trash)
