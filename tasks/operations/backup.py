"""A copy of a state folder, made while its stack runs: the work of `headrace backup`.

The databases and the audit file are copied first, together, while no decision can be made; then
files, what points to others before what is pointed to. Whatever a database or a file refers to was
finished before it was referred to and never changes, so it is there when its turn comes: nothing in
a restored folder points to something missing. `gc`, the only thing that removes finished work,
waits as long. What is unfinished when it is copied is unfinished in the copy, and is resumed or
done again there.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from headrace.infra import audit, audit_key, console
from headrace.infra.audit import AuditEntry
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.files import backups
from headrace.infra.files.backups import POSTGRESQL, STATE, Copied, Manifest
from headrace.infra.stack import database, database_copy
from headrace.infra.state import lock
from headrace.infra.state.state_dir import Home, home
from headrace.infra.visible import visible

LEFT_OUT = {
    "stack": "what `up` makes again: ports, passwords, the address of PostgreSQL",
    "spark": "code and event logs of Spark",
    "java": "made again",
    "receiver.json": "the token of `receive`, which is made again or given",
    "logs": "logs",
    ".work": "unfinished curations, which are done again",
    "windows/.work": "unfinished curations, which are done again",
    ".trash": "what `gc` is removing",
}
"""Parts of the state folder that are not copied, and why."""
_FIRST = ("outbox", "windows", "inbox", "runs", "tokens", "releases")
"""Folders in the order in which they refer to each other; whatever else there is comes after."""
_PASSING = re.compile(r".*\.lock|lock|\..*\.tmp|.*\.db-(wal|shm|journal)")
"""Names of locks, of what is being written, and of SQLite's helpers."""

_APART = (*database_copy.FILES, "audit.jsonl")
"""Files that are copied before all others."""


@dataclass
class _Work:
    """A backup that is being made."""

    folder: Path
    before: Path | None
    known: Mapping[str, Copied]
    """What the backup before has, by path."""
    files: list[Copied] = field(default_factory=list)
    copied: int = 0
    copied_bytes: int = 0

    def add(self, source: Path, path: str) -> None:
        """Copy a file to `path` of the backup, or take it over from the backup before."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = os.lstat(source)
            old = self.known.get(path)
            same = old and (old.bytes, old.changed) == (found.st_size, found.st_mtime_ns)
            if old and same and self.before and backups.linked(self.before, old, target):
                self.files.append(old)
                return
            size, changed, digest = backups.copy(source, target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            return  # it went meanwhile, so nothing that is finished needs it
        self.files.append(Copied(path=path, bytes=size, changed=changed, sha256=digest))
        self.copied, self.copied_bytes = self.copied + 1, self.copied_bytes + size

    def made(self, path: str) -> None:
        """Count a file that something else has put into the backup."""
        target = self.folder / path
        size, changed, digest = backups.measured(target)
        self.files.append(Copied(path=path, bytes=size, changed=changed, sha256=digest))
        self.copied, self.copied_bytes = self.copied + 1, self.copied_bytes + size


@dataclass(frozen=True)
class Backup:
    """A finished backup; the answer of `headrace backup` has these fields."""

    backup: str
    """Its folder."""
    id: str
    files: int
    bytes: int
    copied: int
    """Files that the backup before had not."""
    copied_bytes: int
    left_out: list[str]
    outside: list[str]
    audit_key: str | None
    """File of the key that the audit file is signed with; None: nothing is signed."""
    audit_lines: int


def make(target: Path) -> Backup:
    """Back up the state folder into a new folder in `target`.

    Raises:
        UsageError: there is nothing to copy, or the target can't be one.
        ResourceError: the target's disk is too small.
        HeadraceError: a database can't be copied.
    """
    here = home()
    if not here.begun():
        raise UsageError(f"{here.root} holds no state to back up", "set HEADRACE_HOME to one")
    backups.outside(target, here.root)
    lock.work_in(here)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.exclusive(target / ".lock", f"waiting for another backup to {target}"):
        return _make(here, target)


def _make(here: Home, target: Path) -> Backup:
    moment = datetime.now(UTC)
    name = _free(target, moment.strftime("%Y%m%dT%H%M%SZ"))
    before = next(iter(reversed(backups.whole(target))), None)
    known = _known(before)
    with backups.begun(target, name) as folder:
        work, tree = _Work(folder, before, known), _Tree(here.root)
        plan = _needed(here, known)
        backups.refuse_small(target, plan)
        lines, server = _databases(here, work)
        with console.Progress("backup: copy", max(1, plan), "bytes") as progress:
            last = 0  # the databases count too
            for source, path in tree.files():
                work.add(source, f"{STATE}/{path}")
                progress.advance(work.copied_bytes - last)
                last = work.copied_bytes
        for link in tree.links:
            console.say(f"warning: {here.root / link} is a link and is not copied")
        left_out = [n for n in LEFT_OUT if (here.root / n).exists()]
        manifest = Manifest(
            id=name,
            made=moment.isoformat(timespec="seconds"),
            version=version("headrace"),
            home=str(here.root),
            audit_lines=len(lines),
            audit_keys=tuple(dict.fromkeys(str(line["key"]) for line in lines if "key" in line)),
            postgresql=server.suffix if server else None,
            schemas=bool(server and server.address.name),
            left_out=(*left_out, *map(visible, tree.links)),
            outside=_outside(folder / STATE / "mlflow.db", here),
            empty=tuple(f"{STATE}/{name}" for name in tree.empty),
            files=tuple(work.files),
        )
        place = backups.finish(folder, manifest)
    return Backup(
        backup=str(place),
        id=name,
        files=len(work.files),
        bytes=sum(file.bytes for file in work.files),
        copied=work.copied,
        copied_bytes=work.copied_bytes,
        left_out=list(manifest.left_out),
        outside=list(manifest.outside),
        audit_key=str(audit_key.key_file()) if manifest.audit_keys else None,
        audit_lines=manifest.audit_lines,
    )


def _known(before: Path | None) -> dict[str, Copied]:
    """Return what the backup before has, by path."""
    try:
        return {file.path: file for file in backups.of(before).files} if before else {}
    except InputError as error:
        console.say(f"warning: {error.message}; everything is copied")
        return {}


def _free(target: Path, name: str) -> str:
    """Return a name that no backup has: two may begin within a second."""
    number = 1
    while (target / (found := name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return found


def _databases(here: Home, work: _Work) -> tuple[list[AuditEntry], database.Server | None]:
    """Copy the databases and the audit file; (its lines, the PostgreSQL server that is used)."""
    server = database.kept(here)
    top = work.folder / (POSTGRESQL if server else STATE)
    top.mkdir()
    with audit.locked(here.audit):
        # A line first, then alias and tags: inside the lock both say the same.
        lines = _recorded(here)
        if here.audit.exists():
            work.add(here.audit, f"{STATE}/{here.audit.name}")
        made = database_copy.copy(here, top)
    for name in made:
        work.made(f"{top.name}/{name}")
    return lines, server


def _recorded(here: Home) -> list[AuditEntry]:
    """Return the audit file's lines; none where it is damaged, since the rest is still copied."""
    try:
        return audit.read(here.audit)
    except HeadraceError as error:
        console.say(f"warning: {error.message}; it is copied as it is")
        return []


@dataclass
class _Tree:
    """The state folder, walked while others work in it."""

    root: Path
    links: list[str] = field(default_factory=list)
    """Links that were met; they are not followed."""
    empty: list[str] = field(default_factory=list)
    """Folders without anything in them."""

    def files(self) -> Iterator[tuple[Path, str]]:
        """(file, path in the state folder) of what is to be copied, in its order.

        A folder is listed when its turn comes, its own files before those below: the file that says
        that a folder is finished is seen only where all that it speaks of is there.
        """
        top = [p.name for p in _listed(self.root) if p.is_dir()]
        yield from self._own(self.root)
        for name in (*(n for n in _FIRST if n in top), *sorted(set(top) - set(_FIRST))):
            # A large part may lie on another disk, behind a link: it is part of the state too.
            yield from self._below(self.root / name)

    def _below(self, folder: Path) -> Iterator[tuple[Path, str]]:
        name = folder.relative_to(self.root).as_posix()
        if name in LEFT_OUT:
            return
        inside = _listed(folder)
        if not inside:
            self.empty.append(name)
        yield from self._own(folder)
        for path in inside:
            if path.is_dir() and not path.is_symlink() and not _PASSING.fullmatch(path.name):
                yield from self._below(path)

    def _own(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Yield the files of a folder itself."""
        for path in _listed(folder):
            name = path.relative_to(self.root).as_posix()
            # In the inbox a file may have any name.
            passing = not name.startswith("inbox/") and _PASSING.fullmatch(path.name)
            if passing or name in _APART or name in LEFT_OUT:
                continue
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode) and not (folder == self.root and path.is_dir()):
                    self.links.append(name)
                elif stat.S_ISREG(mode):
                    yield path, name


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []  # it went meanwhile


def _needed(here: Home, known: Mapping[str, Copied]) -> int:
    """Bytes that the backup before does not have."""
    needed = sum(p.stat().st_size for n in database_copy.FILES if (p := here.root / n).exists())
    for path, name in _Tree(here.root).files():
        with contextlib.suppress(FileNotFoundError):
            found, old = path.lstat(), known.get(f"{STATE}/{name}")
            if old is None or (old.bytes, old.changed) != (found.st_size, found.st_mtime_ns):
                needed += found.st_size
    return needed


def _outside(mlflow: Path, here: Home) -> tuple[str, ...]:
    """Return what model versions refer to outside the state folder, by a copy of a SQLite store."""
    keys = "select distinct value from model_version_tags where key in ('export', 'release')"
    found: set[str] = set()
    if mlflow.exists():
        with (
            contextlib.closing(sqlite3.connect(mlflow)) as store,
            contextlib.suppress(sqlite3.OperationalError),  # it has no tables yet
        ):
            found = {here.relative(value) for (value,) in store.execute(keys) if value}
    return tuple(sorted(value for value in found if Path(value).is_absolute() or "://" in value))
