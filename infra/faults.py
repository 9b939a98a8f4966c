"""What went wrong, in one sentence that a user can act on: the last cause, and the file at hand.

An error passes several hands before a person reads it: Arrow wraps the operating system's, a Python
worker's reaches the driver inside a Java exception inside a Python one. `explained` looks through
all of it; `carried` takes a fault across a process border unharmed.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.infra import console
from headrace.infra.errors import HeadraceError, ResourceError, UsageError, of_json

_MARK = "headrace fault: "
_CARRIED = re.compile(re.escape(_MARK) + r"(\{.*\})")
_JAVA_CAUSE = re.compile(r"^\s*Caused by: ([\w.$]+)(?:: (.*))?$", re.M)
_PYTHON_END = re.compile(
    r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)): ?(.*)$", re.M
)
_ERRNO = re.compile(r"\[[Ee]rrno (\d+)\]")
_SPACE = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full|disk is full", re.I
)
_JAVA_PATH = re.compile(r"(/[^\s:()]+)")

_EXHAUSTED = {
    errno.ENOSPC: ("no space left on {}", "free space there or choose another place"),
    errno.EDQUOT: ("the disk quota is used up on {}", "free space there or choose another place"),
    errno.EIO: ("input/output error on {}", "check the disk"),
    errno.EMFILE: ("too many open files, at {}", "raise the limit (`ulimit -n`)"),
    errno.ENFILE: ("too many open files on this machine, at {}", "close other programs"),
    errno.ENOMEM: ("out of memory, at {}", "free memory"),
}
"""What has run out, by errno: the sentence and what to do."""
_REFUSED = {
    errno.EACCES: ("permission denied: {}", "give the owner of this process access to it"),
    errno.EPERM: ("not permitted: {}", "give the owner of this process access to it"),
    errno.EROFS: ("read-only file system: {}", "choose another place"),
    errno.ENOTDIR: ("there is a file where a folder is needed: {}", "choose another place"),
    errno.EEXIST: ("there is a file where a folder is needed: {}", "choose another place"),
    errno.EISDIR: ("there is a folder where a file is needed: {}", "choose another place"),
    errno.ENAMETOOLONG: ("the name is too long: {}", "choose a shorter one"),
    errno.ELOOP: ("links form a cycle: {}", "choose another place"),
}
"""What the system does not allow at a place, by errno; only reported where the place is known."""
_UNNAMED = "a disk (the system did not say which; the state folder's or the output's)"


class CarriedError(Exception):
    """A fault on its way out of a worker process, whole in its message."""


@contextmanager
def during(what: str) -> Iterator[None]:
    """Note on whatever is raised inside what was being done, such as `reading FILE`."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let an OSError that names no file, as those of a full disk do, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def carried(error: Exception) -> CarriedError:
    """`error` in a form that survives Spark: raise it from `error` in a worker."""
    return CarriedError(_MARK + json.dumps(explained(error).as_json(), default=str))


def explained(error: BaseException) -> HeadraceError:
    """Return the fault that a user reads: its last cause in one sentence, and what to do about it.

    A full disk, a file that can't be written and a folder that is a file are reported as such, with
    their place, whoever raised them; all else is `TypeName: first line` with code 1.
    """
    for cause in _causes(error):
        if isinstance(cause, HeadraceError):
            return cause
        if isinstance(cause, OSError) and (found := _of_system(cause)):
            return _noted(found, error)
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            missing = f"the package {cause.name.partition('.')[0]} is not installed"
            return UsageError(missing, "install headrace again with its dependencies")
        if isinstance(cause, MemoryError):
            return _noted(
                ResourceError("out of memory", "free memory, or use smaller input"), error
            )
        if found := _carried_in(str(cause)):
            return found
    text = str(error)
    if (number := _system_number(text)) and (found := _from_errno(number, _place_in(text))):
        return _noted(found, error)
    kind, said = _last_cause(error)
    trace = f"; the trace is in {log}" if (log := console.log_path()) else ""
    hint = f"an unexpected fault{trace}"
    return _noted(HeadraceError(f"{kind}: {said}" if said else kind, hint), error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Return the error and what it was raised from, the outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _of_system(error: OSError) -> HeadraceError | None:
    text = str(error)
    place = error.filename if error.filename is not None else _place_in(text)
    return _from_errno(error.errno or _system_number(text), place)


def _from_errno(number: int, place: str | bytes | int | None) -> HeadraceError | None:
    where = os.fsdecode(place) if isinstance(place, bytes) else place
    if number in _EXHAUSTED:
        said, hint = _EXHAUSTED[number]
        return ResourceError(said.format(where or _UNNAMED), f"{hint}; the same command resumes")
    if number in _REFUSED and where:
        said, hint = _REFUSED[number]
        return UsageError(said.format(where), hint)
    return None


def _system_number(text: str) -> int:
    """Return the errno that a message holds, 0 without one that is recognized."""
    if space := _SPACE.search(text):
        return errno.EDQUOT if "quota" in space[0].lower() else errno.ENOSPC
    numbers = [int(n) for n in _ERRNO.findall(text)]
    return next((n for n in reversed(numbers) if n in _EXHAUSTED or n in _REFUSED), 0)


def _place_in(text: str) -> str | None:
    """Return the path that a message of the system names, as Python quotes it or Java writes it."""
    quoted = re.findall(r"'(/[^']+)'", text)
    plain = [p for line in text.splitlines()[:1] for p in _JAVA_PATH.findall(line)]
    return next(iter([*quoted, *plain]), None)


def _carried_in(text: str) -> HeadraceError | None:
    found = _CARRIED.findall(text)
    return of_json(json.loads(found[-1])) if found else None


def _last_cause(error: BaseException) -> tuple[str, str]:
    """(kind, first line) of the innermost cause that a message of Java or Python names."""
    text = str(error)
    if java := _JAVA_CAUSE.findall(text):
        kind, said = java[-1]
        return kind.rsplit(".", 1)[-1], said.strip()
    # Only an error that quotes a traceback names another one: a message may well begin like that.
    if "Traceback (most recent call last)" in text and (python := _PYTHON_END.findall(text)):
        kind, said = python[-1]
        return kind.rsplit(".", 1)[-1], said.strip()
    lines = text.splitlines()
    return type(error).__name__, lines[0][:300] if lines else ""


def _noted(fault: HeadraceError, error: BaseException) -> HeadraceError:
    """Return the fault with the notes of `during`, the innermost first."""
    notes = [n for cause in _causes(error) for n in getattr(cause, "__notes__", ())]
    for note in dict.fromkeys(notes):
        if note not in fault.message:
            fault.message += f" ({note})"
    return fault
