"""What a backup of a state folder looks like on disk, and how files get into it and out of it.

    TARGET/20260501T120000Z/
      manifest.json     every file with its size and SHA-256, written last
      state/            the files, under the paths that they have in the state folder
      postgresql/       in place of the SQLite files: dumps of the databases

A backup is made under a hidden name and renamed when its manifest is on disk, so whatever has such
a name is whole. A file that the backup before has too is a hard link to it: each backup can be
read, copied and removed by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from headrace.infra import storage
from headrace.infra.errors import InputError, ResourceError, UsageError, ValidationError

MANIFEST, STATE, POSTGRESQL = "manifest.json", "state", "postgresql"
UNFINISHED = ".unfinished-"
"""What the name of a backup begins with while it is made."""
_ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_BLOCK = 1 << 20
OTHER = "its content is not what was copied"


def _inside(path: object) -> str:
    # Checked here alone: pydantic's strings hold no name that isn't Unicode.
    if (
        not isinstance(path, str)
        or not path
        or any(part in ("", ".", "..") for part in path.split("/"))
        or "\0" in path
    ):
        raise ValueError("a path that leads out of the backup")
    return path


Inside = Annotated[str, pydantic.PlainValidator(_inside)]
"""A path below the backup's folder, with slashes."""


class Copied(BaseModel):
    """A file of a backup."""

    model_config = ConfigDict(frozen=True)

    path: Inside
    bytes: int = Field(ge=0)
    changed: int
    """When the original was last written (ns since 1970)."""
    sha256: str


class Manifest(BaseModel):
    """What manifest.json holds."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    id: str
    made: str
    """When it was begun: the databases stand as they were then."""
    version: str
    """The version of headrace."""
    home: str
    """The state folder."""
    audit_lines: int
    audit_keys: tuple[str, ...]
    """Names of the keys that signed the audit file; the keys themselves are not in the backup."""
    postgresql: str | None = None
    """Suffix of the databases or schemas that the dumps are of; None: the databases are SQLite's.
    """
    schemas: bool = False
    """Whether the dumps are of schemas in a database that was given."""
    left_out: tuple[str, ...]
    """What of the state folder is not in it."""
    outside: tuple[str, ...]
    """Where model versions refer to what lies outside the state folder: not in it either."""
    empty: tuple[Inside, ...] = ()
    """Paths of folders with nothing in them."""
    files: tuple[Copied, ...]


def of(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        InputError: it is not a backup, or its manifest can't be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is not a backup: it has no {MANIFEST}",
            "give the folder that `headrace backup` printed, or the one above it",
        ) from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        said = ": ".join([".".join(map(str, first["loc"])), first["msg"]]).lstrip(": ")
        raise InputError(f"{path}: {said}", "use another backup") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} holds no JSON", "use another backup") from None
    except OSError as error:
        raise storage.unreadable(path, error) from None


def whole(target: Path) -> list[Path]:
    """Return the finished backups of a target, the oldest first."""
    try:
        names = sorted(p.name for p in target.iterdir() if _ID.fullmatch(p.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [target / name for name in names if (target / name / MANIFEST).is_file()]


def newest(source: Path) -> Path:
    """Return a backup, or the newest one of a target.

    Raises:
        InputError: there is none.
    """
    if (source / MANIFEST).exists():
        return source
    found = whole(source)
    if not found:
        raise InputError(
            f"{source}: there is no finished backup",
            "give the folder that `headrace backup` printed, or the one above it",
        )
    return found[-1]


@contextlib.contextmanager
def begun(target: Path, name: str) -> Iterator[Path]:
    """Yield a new folder under a hidden name; what killed backups have left beside it goes.

    Call with the target's lock held. Where the block raises nothing is left.
    """
    for old in target.glob(f"{UNFINISHED}*"):
        shutil.rmtree(old, ignore_errors=True)
    folder = target / f"{UNFINISHED}{name}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def finish(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest of a backup and give it its name; its place."""
    # Names that are no Unicode stay as they are: JSON escapes them.
    text = json.dumps(manifest.model_dump(), indent=1)
    storage.write_private_text(folder / MANIFEST, text + "\n")
    place = folder.with_name(manifest.id)
    folder.rename(place)
    storage.sync_folder(place.parent)
    return place


def copy(source: Path, target: Path) -> tuple[int, int, str]:
    """Copy a file durably: (bytes, time of its last change in ns, SHA-256) of what was copied.

    A file that grows meanwhile is copied up to the size that it had.

    Args:
        source: a regular file, and no link.
        target: where nothing is yet.

    Raises:
        OSError: it went, is something else by now, or can't be read or written.
    """
    digest, done = hashlib.sha256(), 0
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as old:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(source)
        left = found.st_size
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            while left and (block := old.read(min(left, _BLOCK))):
                digest.update(block)
                new.write(block)
                left, done = left - len(block), done + len(block)
            new.flush()
            os.fsync(new.fileno())
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
    return done, found.st_mtime_ns, digest.hexdigest()


def linked(before: Path, known: Copied, target: Path) -> bool:
    """Whether a file of the backup before was taken over, as a second name of it."""
    try:
        if os.lstat(before / known.path).st_size != known.bytes:
            return False
        os.link(before / known.path, target, follow_symlinks=False)
    except OSError:  # a disk without links, or the file is gone
        return False
    return True


def check(folder: Path, known: Copied) -> None:
    """Raise unless a file of a backup is what its manifest says.

    Raises:
        ValidationError: it is missing, or another.
    """
    try:
        _, _, digest = measured(folder / known.path)
    except OSError as error:
        raise damaged(folder, known, os.strerror(error.errno or 0)) from None
    if digest != known.sha256:
        raise damaged(folder, known, OTHER)


def measured(path: Path) -> tuple[int, int, str]:
    """(bytes, time of the last change in ns, SHA-256) of a file that is no link.

    Raises:
        OSError: it can't be read.
    """
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        while block := file.read(_BLOCK):
            digest.update(block)
    return found.st_size, found.st_mtime_ns, digest.hexdigest()


def damaged(folder: Path, known: Copied, why: str) -> ValidationError:
    """Return the fault of a file of a backup."""
    return ValidationError(f"{folder / known.path}: {why}", "restore another backup")


def refuse_small(place: Path, needed: int) -> None:
    """Raise unless a disk has room for what is to be copied there.

    Raises:
        ResourceError: it hasn't.
    """
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ResourceError(
            f"{place}: {needed / 1e9:,.1f} GB are to be copied, and {free / 1e9:,.1f} GB are free",
            "free space there, or give another place",
        )


def outside(target: Path, root: Path) -> None:
    """Raise unless a target lies outside the state folder, and is no file.

    Raises:
        UsageError: it does not.
    """
    if Path(os.path.realpath(target)).is_relative_to(root):
        raise UsageError(
            f"{target} is inside the state folder that it would copy",
            "give a folder outside it, best on another disk",
        )
    storage.writable_folder(target)
