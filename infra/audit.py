"""`audit.jsonl`: the append-only, hash-chained, synced record of decisions.

A line is the commit of the decision that it records: aliases and tags follow from it. Each line
holds the hash of the one before, so an edit, a gap or a swap shows.
"""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.errors import ValidationError
from headrace.infra.lineage import digest
from headrace.infra.lock import exclusive

log = logging.getLogger(__name__)
_NO_DECISION = (ValueError, KeyError, AttributeError, TypeError, RecursionError)
"""What reading a line raises that holds something else, or text that is no Unicode."""
GENESIS = "0" * 32
"""What the first line has as its `previous`."""


def read(path: Path) -> list[dict[str, Any]]:
    """All recorded decisions, the chain checked.

    Raises:
        ValidationError: a line was edited, is missing or stands elsewhere; it names the line.
    """
    entries, tail = _chain(path)
    if tail:
        _warn_of_torn(path, len(entries) + 1)
    return entries


def _chain(path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """All recorded decisions, and what follows the last line feed: a line without its end."""
    if not path.exists():
        return [], b""
    entries: list[dict[str, Any]] = []
    previous = GENESIS
    *lines, tail = path.read_bytes().split(b"\n")
    if _holds(tail[:-1]):
        raise _broken(path, len(lines) + 1, "its last byte was changed")
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            stated = entry.pop("hash")
            whole = {**entry, "hash": stated}
            intact = digest(entry) == stated and _line(whole) == line
        except _NO_DECISION:
            raise _broken(path, number, "it is not a recorded decision") from None
        if entry.get("number") != number:
            raise _broken(path, number, f"it says that it is number {entry.get('number')}")
        if entry.get("previous") != previous:
            raise _broken(path, number, "it does not follow the line before")
        if not intact:
            raise _broken(path, number, "its content is not what was hashed")
        previous = stated
        entries.append(whole)
    return entries, tail


def verify(path: Path) -> dict[str, Any]:
    """{`file`, `lines`, `last` (hash of the last line, None without one), `torn`}.

    `torn`: the file ends in a line without its end, which a kill, a full disk or a power cut left
    of a decision that was never committed. A last line that is gone as a whole can't be told from
    one that never was: keep `last` elsewhere to see that too.

    Raises:
        ValidationError: a line was edited, is missing or stands elsewhere.
    """
    entries, tail = _chain(path)
    return {
        "file": str(path),
        "lines": len(entries),
        "last": entries[-1]["hash"] if entries else None,
        "torn": tail != b"",
    }


@cache
def _warn_of_torn(path: Path, number: int) -> None:
    """Warn once that the last line was never committed: `append` cuts it off."""
    log.warning(
        "%s line %d lacks its end: that decision was never committed, and counts for nothing; "
        "the next decision takes its place",
        path,
        number,
    )


def unfinished(path: Path) -> dict[str, Any] | None:
    """The decision of a last line that lacks nothing but its last byte or two; None without one.

    Whether it was committed shows elsewhere: a committed one has been carried out.
    """
    if not path.exists() or path.read_bytes()[-1:] in (b"", b"\n"):
        return None
    entries, tail = _chain(path)
    whole = next((json.loads(x) for x in (tail, tail + b"}") if _holds(x)), None)
    follows = entries[-1]["hash"] if entries else GENESIS
    return whole if whole and whole.get("previous") == follows else None


def finish(path: Path, entry: dict[str, Any]) -> None:
    """Give the last line back the end that it lost after its decision was carried out."""
    log.warning("%s line %d had lost its end; it is whole again", path, entry["number"])
    storage.append_line(path, _line(entry))


def _holds(line: bytes) -> bool:
    """Whether a line's content is what was hashed."""
    try:
        entry = json.loads(line)
        stated = entry.pop("hash")
        return digest(entry) == stated
    except _NO_DECISION:
        return False


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode()


def _broken(path: Path, number: int, why: str) -> ValidationError:
    return ValidationError(
        f"{path} line {number}: {why}", "restore the file from a backup; decisions stand on it"
    )


def locked(path: Path) -> AbstractContextManager[None]:
    """Exclusive right to decide; the lock goes with the process, also by kill -9."""
    return exclusive(path.with_suffix(".lock"))


def append(path: Path, **fields: Any) -> dict[str, Any]:
    """Record a decision and sync it to disk; call inside `locked`."""
    entries = read(path)
    entry: dict[str, Any] = {
        "number": len(entries) + 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **fields,
        "previous": entries[-1]["hash"] if entries else GENESIS,
    }
    entry["hash"] = digest(entry)
    storage.append_line(path, _line(entry))
    return entry
