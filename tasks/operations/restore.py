"""Restoring a state folder from a backup: the work of `headrace restore`."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from headrace.infra import audit_key, console, storage
from headrace.infra.errors import UsageError
from headrace.infra.files import backups
from headrace.infra.files.backups import POSTGRESQL, STATE, Manifest
from headrace.infra.stack import database, database_copy
from headrace.infra.state import lock, private
from headrace.infra.state.state_dir import Home, home

_STAGED = ".restoring-"
"""In the name of a folder that is being filled."""


@dataclass(frozen=True)
class Restored:
    """A backup that was restored or checked; the answer of `headrace restore` has these fields."""

    home: str | None
    """The state folder; None: the backup was only checked."""
    backup: str
    id: str
    made: str
    files: int
    bytes: int
    audit_lines: int
    missing_keys: list[str]
    """Audit keys that this account lacks: without them the signatures can't be checked."""
    left_out: list[str]
    outside: list[str]


def check(source: Path) -> Restored:
    """Check every file of a backup, and restore nothing.

    Raises:
        InputError: there is no backup.
        ValidationError: a file of it is missing or damaged.
    """
    folder = backups.newest(source)
    manifest = backups.of(folder)
    total = sum(file.bytes for file in manifest.files)
    with console.Progress("restore: check", max(1, total), "bytes") as progress:
        for file in manifest.files:
            backups.check(folder, file)
            progress.advance(file.bytes)
    return _restored(folder, manifest, None)


def restore(source: Path) -> Restored:
    """Restore a backup as the state folder, which is empty or isn't there.

    The folder appears whole or not at all: it is filled under another name beside its place.

    Raises:
        UsageError: the state folder is not empty, or PostgreSQL can't be used.
        InputError: there is no backup.
        ValidationError: a file of it is missing or damaged.
        ResourceError: the disk is too small.
    """
    here = home()
    if here.begun():
        raise UsageError(
            f"{here.root} is not empty, and a backup is restored into an empty folder only",
            "set HEADRACE_HOME to a folder that doesn't exist yet, or move this one away",
        )
    folder = backups.newest(source)
    manifest = backups.of(folder)
    if here.root.is_mount():
        raise UsageError(
            f"{here.root} is a mount point, which a finished folder can't replace",
            "set HEADRACE_HOME to a folder below it",
        )
    private.begin(here)
    here.root.parent.mkdir(parents=True, exist_ok=True)
    _remove_killed(here)
    staged = here.root.with_name(f".{here.root.name}{_STAGED}{uuid.uuid4().hex[:8]}")
    staged.mkdir(mode=0o700)
    with lock.exclusive(staged):
        try:
            _fill(staged, folder, manifest)
            if manifest.postgresql:
                dumps = folder / POSTGRESQL
                database_copy.restore(Home(staged), dumps, manifest.postgresql, manifest.schemas)
                database.rename(Home(staged), here)
            storage.sync_folder(staged)
            staged.rename(here.root)  # also onto an empty folder
            storage.sync_folder(here.root.parent)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    return _restored(folder, manifest, str(here.root))


def _remove_killed(here: Home) -> None:
    """Remove what restores that were killed have left beside the state folder's place."""
    for old in here.root.parent.glob(f".{glob.escape(here.root.name)}{_STAGED}*"):
        with contextlib.suppress(BlockingIOError), lock.exclusive_now(old):  # else it is at work
            shutil.rmtree(old, ignore_errors=True)


def _fill(staged: Path, folder: Path, manifest: Manifest) -> None:
    """Copy the files of a backup, and check the hash of each."""
    total = sum(file.bytes for file in manifest.files)
    backups.refuse_small(staged, total)
    with console.Progress("restore: copy", max(1, total), "bytes") as progress:
        for file in manifest.files:
            top, _, path = file.path.partition("/")
            if top == POSTGRESQL:
                backups.check(folder, file)
            elif top == STATE:
                (staged / path).parent.mkdir(parents=True, exist_ok=True)
                try:
                    _, _, digest = backups.copy(folder / file.path, staged / path)
                except FileNotFoundError:
                    raise backups.damaged(folder, file, "it is missing") from None
                if digest != file.sha256:
                    raise backups.damaged(folder, file, backups.OTHER)
            progress.advance(file.bytes)
    for name in manifest.empty:
        (staged / name.partition("/")[2]).mkdir(parents=True, exist_ok=True)
    _date(staged)


def _date(folder: Path) -> float:
    """Give folders the time of the newest file in them, by which `gc` finds the newest work."""
    inside = list(folder.iterdir())
    newest = 0.0 if inside else folder.stat().st_mtime
    for path in inside:
        newest = max(newest, _date(path) if path.is_dir() else path.stat().st_mtime)
    os.utime(folder, (newest, newest))
    return newest


def _restored(folder: Path, manifest: Manifest, place: str | None) -> Restored:
    known = audit_key.keys()
    return Restored(
        home=place,
        backup=str(folder),
        id=manifest.id,
        made=manifest.made,
        files=len(manifest.files),
        bytes=sum(file.bytes for file in manifest.files),
        audit_lines=manifest.audit_lines,
        missing_keys=[key for key in manifest.audit_keys if key not in known],
        left_out=list(manifest.left_out),
        outside=list(manifest.outside),
    )
