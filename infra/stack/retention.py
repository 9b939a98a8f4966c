"""What takes room and is needed by nothing any more, found and removed after a while.

Each finder knows one kind of thing that only grows: checkpoints of stages that have finished (their
export holds the weights), what a curation that failed or was refused has on disk, Spark's event
logs and step folders, damaged files that were set aside. What a process works at is left alone:
where it has its own lock by that, all else by removing it only while nothing is at work in the
state folder (lock.py). What is removed is renamed into the trash first, so that a kill leaves
nothing by halves, and recorded in audit.jsonl. Prefect's runs and events are in its database, which
its server clears.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, Field

from headrace.infra import audit, storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import AtWorkError, HeadraceError
from headrace.infra.files import quarantine
from headrace.infra.json_types import Json
from headrace.infra.state import clock, lock
from headrace.infra.state.state_dir import Home

logger = logging.getLogger(__name__)

VARIABLE = "HEADRACE_RETENTION"
"""Environment variable with the settings of `headrace up`, for the worker that keeps to them."""
DAY = 86400.0
WEEK = 7 * DAY
GC = "gc"
"""Action of the audit lines that record what was removed."""
_NAMED = 100
"""Paths of a kind that an audit line names."""
CHECKPOINTS, UNFINISHED = "checkpoints of finished stages", "unfinished curations"


class RetentionSettings(Settings):
    """How many days things are kept that nothing needs any more."""

    runs_days: int = Field(default=365, ge=1)
    """Flow runs in Prefect's database, with their logs and artifacts, after their end."""
    events_days: int = Field(default=30, ge=1)
    """Events in Prefect's database."""
    spark_days: int = Field(default=30, ge=0)
    """Spark's event logs, which the history server shows, and folders of submitted steps."""
    unfinished_days: int = Field(default=14, ge=0)
    """What a curation that failed, was killed or refused has on disk, after it last wrote."""
    checkpoint_days: int = Field(default=7, ge=0)
    """Checkpoints, with the optimizer's state, of a stage that has finished."""
    quarantine_days: int = Field(default=365, ge=0)
    """Files that were found damaged and set aside."""
    windows_days: int = Field(default=365, ge=1)
    """Windows of an inbox that a round has settled, and notes of the text that the owner has raised
    alerts on."""


def prefect_environment(settings: RetentionSettings) -> dict[str, str]:
    """Return what Prefect's server gets of it."""
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(settings.runs_days * 86400),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{settings.events_days}D",
    }


def to_variable(settings: RetentionSettings) -> dict[str, str]:
    """Return the environment of a worker that keeps the state folder tidy; without any quote."""
    return {VARIABLE: urlencode(settings.model_dump())}


def from_variable() -> RetentionSettings | None:
    """Return what `to_variable` left in this process's environment; None: nothing."""
    text = os.environ.get(VARIABLE)
    return RetentionSettings.model_validate(dict(parse_qsl(text))) if text else None


@dataclass(frozen=True)
class Expired:
    """A file or folder whose time is over."""

    kind: str
    path: Path
    bytes: int
    lock: Path | None = None
    """The file that a process locks which works at it."""


def expired(home: Home, settings: RetentionSettings) -> list[Expired]:
    """Return what may be removed now, by path. Links are neither followed nor listed."""
    root, now = home.root, time.time()

    def old(paths: Iterable[Path], kind: str, days: int) -> Iterator[Expired]:
        for path in paths:
            size, changed = measure(path)
            if now - changed >= days * DAY:
                lock = path / "lock" if kind == UNFINISHED else None
                yield Expired(kind, path, size, lock)

    spark = root / "spark"
    code = sorted(_inside(spark / "code"), key=_changed)
    # The newest is in use: a zip, and the folder that it was unpacked to.
    code = [p for p in code if p.name.partition(".")[0] != code[-1].name.partition(".")[0]]
    steps = [*_inside(spark / "steps"), *_inside(spark / "local"), *code]
    work = [*_inside(root / ".work"), *_inside(home.windows / ".work")]
    found = [
        *old(_inside(spark / "events"), "Spark's event logs", settings.spark_days),
        *old(steps, "folders of Spark's steps", settings.spark_days),
        *old(work, UNFINISHED, settings.unfinished_days),
        *old(_files(home.quarantine), "damaged files", settings.quarantine_days),
        *old(_files(home.windows / "raised"), "notes of alerts", settings.windows_days),
        *old(_inside(home.windows / "rounds" / "ended"), "ended rounds", settings.windows_days),
        *_windows(home, old, settings.windows_days),
        *(e for e in _checkpoints(home) if now - _ended(e) >= settings.checkpoint_days * DAY),
    ]
    return sorted(found, key=lambda e: e.path)


def _windows(home: Home, old: Callable[..., Iterator[Expired]], days: int) -> Iterator[Expired]:
    """Return the records of settled windows: those of which `settled.jsonl` has a line.

    tasks/retraining/inbox.py writes it. What isn't there yet is known by its own files only.
    """
    for folder in _inside(home.windows):
        with contextlib.suppress(OSError):
            known = set()
            for line in (folder / "settled.jsonl").read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                    known.add(f"{json.loads(line)['number']:06d}")
            records = [p for p in _inside(folder) if p.name.partition(".")[0] in known]
            newest: dict[str, float] = {}
            for path in records:
                number = path.name.partition(".")[0]
                newest[number] = max(newest.get(number, 0.0), _changed(path))
            # A window's records go together.
            gone = {n for n, changed in newest.items() if time.time() - changed >= days * DAY}
            paths = [p for p in records if p.name.partition(".")[0] in gone]
            yield from old(paths, "settled windows", days)


def _checkpoints(home: Home) -> Iterator[Expired]:
    """Yield the checkpoints of the stages that have their result."""
    for run in _inside(home.runs):
        if (run / "result.json").is_file():
            for path in (run / "checkpoints", *(p / "checkpoints" for p in _inside(run))):
                if path.is_dir() and not path.is_symlink():
                    yield Expired(CHECKPOINTS, path, measure(path)[0], run / ".lock")


def _ended(checkpoints: Expired) -> float:
    assert checkpoints.lock is not None
    return _changed(checkpoints.lock.with_name("result.json"))


def remove(home: Home, found: Sequence[Expired], by: str = "gc") -> list[Expired]:
    """Remove what no process works at, and record it; returns what was removed.

    What lacks its own lock is removed whatever works at it: call it inside `lock.alone_in`.

    Args:
        home: the state folder.
        found: what may go.
        by: what removes it, for the record.

    Raises:
        HeadraceError: the record can't be written; nothing was removed.
    """
    if not found:
        return []
    with audit.locked(home.audit):
        audit.read(home.audit)
        gone = [one for one in found if _moved(home, one)]
        if gone:
            size = sum(one.bytes for one in gone)
            audit.append(home.audit, action=GC, by=by, expired=_summary(home, gone), bytes=size)
    empty(home.trash)
    return gone


def _summary(home: Home, gone: Iterable[Expired]) -> list[Json]:
    """Return what was removed, by kind, for the record."""
    kinds: dict[str, list[Expired]] = {}
    for one in gone:
        kinds.setdefault(one.kind, []).append(one)
    return [
        {
            "kind": kind,
            "items": len(some),
            "bytes": sum(one.bytes for one in some),
            "paths": [home.relative(one.path) for one in some[:_NAMED]],
        }
        for kind, some in kinds.items()
    ]


def _moved(home: Home, one: Expired) -> bool:
    """Whether it was moved to the trash."""
    home.trash.mkdir(mode=0o700, exist_ok=True)
    guard = one.lock if one.lock and one.lock.exists() else None
    with (
        contextlib.suppress(OSError),  # a process works at it
        lock.exclusive_now(guard) if guard else contextlib.nullcontext(),
    ):
        one.path.rename(home.trash / f"{one.path.name}-{uuid.uuid4().hex}")
        return True
    return False


def empty(trash: Path) -> None:
    """Delete what lies in the trash; another process may do so at the same time."""
    if trash.is_dir() and not trash.is_symlink():
        for _ in range(3):
            shutil.rmtree(trash, ignore_errors=True)


def keep_tidy(home: Home, settings: RetentionSettings, every: float = DAY) -> None:
    """Remove what has expired, now and then; doesn't return."""
    while True:
        time.sleep(min(600.0, every))
        try:
            for kind, size in _by_kind(tidy(home, settings)).items():
                logger.warning("%s: %.1f MB past their retention were removed", kind, size / 1e6)
        except (OSError, HeadraceError) as error:
            logger.warning("what is past its retention can't be removed: %s", error)
        time.sleep(every)


def tidy(home: Home, settings: RetentionSettings) -> list[Expired]:
    """Remove what has expired and what nothing works at; returns what was removed.

    While something is at work in the state folder only what has its own lock goes. After the
    clock has jumped nothing does, until it has been steady for a while.

    Raises:
        HeadraceError: the record can't be written.
    """
    if not _steady(home):
        logger.warning("the clock has jumped by more than a week: nothing is removed by age "
                       "until it has been steady for a week")  # fmt: skip
        return []
    by = "worker"
    try:
        with lock.alone_in(home):
            return remove(home, expired(home, settings), by)
    except AtWorkError:
        found = expired(home, settings)
        return remove(home, [e for e in found if e.lock is not None and e.lock.exists()], by)


class _Looked(BaseModel):
    """When `tidy` last looked, and what it thinks of the clock."""

    model_config = ConfigDict(frozen=True, strict=True)

    at: float
    """By the clock (s since 1970)."""
    stamp: clock.Stamp
    steady: float
    """Seconds that are known to have passed since the clock last jumped."""


def _steady(home: Home) -> bool:
    """Whether the clock of the day can be believed; keeps what it is now.

    What passed while the machine was off is not known, so a week more than is known is no jump. Nor
    is the first look: there is nothing to compare with.
    """
    path, now, up = home.root / ".tidy.json", time.time(), clock.stamp()
    before = quarantine.read(path, _Looked.model_validate)
    steady = WEEK
    if before is not None:
        same = before.stamp.boot == up.boot and before.stamp.uptime <= up.uptime
        passed = up.uptime - before.stamp.uptime if same else up.uptime
        jumped = abs(now - before.at - passed) > WEEK
        steady = 0.0 if jumped else min(WEEK, before.steady + passed)
    kept = _Looked(at=now, stamp=up, steady=steady)
    storage.write_json(path, kept.model_dump())
    return steady >= WEEK


def _by_kind(found: Iterable[Expired]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for one in found:
        sizes[one.kind] += one.bytes
    return sizes


_PARTS = {
    "releases": "releases", "tokens": "tokens", "runs": "runs", ".work": UNFINISHED,
    "spark": "spark", "logs": "logs", "prefect": "prefect", "mlartifacts": "mlflow",
    "windows": "windows", "quarantine": "quarantine", ".trash": "trash",
    "packages": "package texts", "sources": "package texts", "inbox": "inbox",
}  # fmt: skip


def sizes(home: Home) -> dict[str, int]:
    """Bytes of each part of the state folder, the largest first; links are not followed."""
    found: Counter[str] = Counter()
    for place, _, names in os.walk(home.root):
        parts = Path(place).relative_to(home.root).parts
        part = _PARTS.get(parts[0], "other") if parts else ""
        if "checkpoints" in parts and part == "runs":
            part = "checkpoints"
        elif ".work" in parts:
            part = UNFINISHED
        for name in names:
            own = part or ("mlflow" if name.startswith("mlflow.db") else "other")
            with contextlib.suppress(OSError):  # it went while we looked
                found[own] += Path(place, name).lstat().st_size
    return dict(found.most_common())


class _Sizes(clock.Stamp):
    """What `recent_sizes` keeps."""

    at: quarantine.Instant
    parts: dict[str, int]


def recent_sizes(home: Home, seconds: float = 300.0) -> dict[str, int]:
    """`sizes` as of some minutes ago at most, for what asks again and again: it walks every file.

    Args:
        home: the state folder.
        seconds: how old the answer may be.
    """
    path = home.root / "sizes.json"
    kept = quarantine.read(path, _Sizes.model_validate)
    if kept is not None:
        stamp = clock.Stamp(**kept.model_dump(include=set(clock.Stamp.model_fields)))
        if clock.age(datetime.fromisoformat(kept.at), stamp) < seconds:
            return kept.parts
    parts = sizes(home)
    if home.begun():
        said = _Sizes(at=clock.now().isoformat(), parts=parts, **clock.stamp().model_dump())
        storage.write_json(path, said.model_dump())
    return parts


def measure(path: Path) -> tuple[int, float]:
    """(bytes, newest change) of a file, or of all below a folder."""
    if path.is_symlink():
        return 0, _changed(path)
    size, changed = 0, 0.0
    for below in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            state = below.lstat()
            size, changed = size + state.st_size, max(changed, state.st_mtime)
    return size, changed


def _inside(folder: Path) -> list[Path]:
    """Return what lies in a folder, without links; nothing where there is none."""
    if not folder.is_dir() or folder.is_symlink():
        return []
    return [p for p in sorted(folder.iterdir()) if not p.is_symlink()]


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() or p.is_symlink()]


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()
