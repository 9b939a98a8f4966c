"""`audit.jsonl`: the append-only, hash-chained, signed and synced record of decisions.

A line is the commit of the decision that it records: aliases and tags follow from it. Each line
holds the hash of the one before, so an edit, a gap or a swap shows. Each is signed by a key outside
of the state folder (audit_key.py), so that a chain that was rewritten shows too: whoever reads
it, to follow a decision or to add one, holds it against what is noted there. Lines of earlier
versions of headrace have no signature; none follows one that has.
"""

from __future__ import annotations

import hmac
import json
import logging
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TypeAlias

from headrace.infra import audit_key, storage
from headrace.infra.audit_key import Reached
from headrace.infra.errors import UsageError, ValidationError
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest
from headrace.infra.state import owner
from headrace.infra.state.lock import exclusive

AuditEntry: TypeAlias = Mapping[str, Json]
"""A line of the file: what was recorded, and `number`, `time`, `account`, `host`, `previous`,
`key`, `hmac` and `hash`."""
log = logging.getLogger(__name__)
_NO_DECISION = (ValueError, KeyError, AttributeError, TypeError, RecursionError)
"""What reading a line raises that holds something else, or text that is no Unicode."""
GENESIS = "0" * 32
"""What the first line has as its `previous`."""
_KEY, _SIGNATURE = "key", "hmac"
"""Fields of a line: the name of the key that signed it, and its signature."""


def read(path: Path) -> list[AuditEntry]:
    """All recorded decisions, the chain checked, and held against what is noted outside its folder.

    Raises:
        ValidationError: a line was edited, is missing, stands elsewhere or was forged; it names the
            line.
    """
    entries, lost, tail = _held(path)
    if lost:
        return [*entries, lost]
    if tail:
        _warn_of_torn(path, len(entries) + 1)
    return entries


def _held(path: Path) -> tuple[list[AuditEntry], AuditEntry | None, bytes]:
    """Split a file into its whole lines, an unfinished last one that was noted, and the rest.

    Raises:
        ValidationError: see `read`.
    """
    # Noted before it is read: another process may add a line in between.
    noted = audit_key.reached(path)
    entries, tail = _chain(path)
    lost = _without_end(entries, tail)
    if not (lost and noted and noted.last == lost["hash"]):
        lost = None
    _hold_against(path, [*entries, lost] if lost else entries, noted)
    return entries, lost, tail


def _chain(path: Path) -> tuple[list[AuditEntry], bytes]:
    """All recorded decisions, and what follows the last line feed: a line without its end."""
    if not path.exists():
        return [], b""
    entries: list[AuditEntry] = []
    previous, signed, vouched = GENESIS, False, False
    known = audit_key.keys()
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
        if signed and _SIGNATURE not in entry:
            raise _broken(path, number, "it has no signature, as the lines before it have")
        if not _signature_holds(entry, known):
            raise _broken(path, number, "its signature is not that of its content")
        ours = str(entry.get(_KEY)) in known
        if vouched and not ours:
            raise _unknown_key(path, entry)
        previous, signed, vouched = stated, _SIGNATURE in entry, vouched or ours
        entries.append(whole)
    return entries, tail


def _unknown_key(path: Path, entry: AuditEntry) -> ValidationError:
    return ValidationError(
        f"{path} line {entry['number']}: signed by the key {entry.get(_KEY)}, which is not in "
        f"{audit_key.key_file()}",
        "if it is your key of another machine or account, add its line to that file, or "
        f"name the file that holds it with {audit_key.VARIABLE}",
    )


def _signature_holds(entry: AuditEntry, known: dict[str, bytes]) -> bool:
    """Whether a line's signature, by a key known here, is right; others can't be checked."""
    key = known.get(str(entry.get(_KEY)))
    if key is None:
        return True
    content = {k: v for k, v in entry.items() if k not in (_SIGNATURE, "hash")}
    return hmac.compare_digest(str(entry.get(_SIGNATURE)), audit_key.sign(key, content))


def first_hash(path: Path) -> str | None:
    """Return the hash of a file's first line, which identifies its copies; None without one."""
    try:
        with path.open("rb") as lines:
            return str(json.loads(lines.readline())["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class AuditCheck:
    """What a check of the whole file came to."""

    file: str
    lines: int
    last: str | None
    """Hash of the last line, None without one."""
    torn: bool
    """Whether the file ends in a line without its end, left by a kill, a full disk or a power cut:
    of a decision that was never committed; or of the last one that is noted as committed, which
    the next decision completes."""
    unsigned: int
    """Lines that an earlier version of headrace wrote, or one that could make no key."""


def verify(path: Path) -> AuditCheck:
    """Check the whole file.

    Raises:
        ValidationError: a line was edited, is missing, stands elsewhere or has a signature that
            nothing here vouches for; or last lines that were noted outside the folder are missing.
        UsageError: the key can't be read.
    """
    entries, last, tail = _held(path)
    entries = [*entries, last] if last else entries
    known = audit_key.keys()
    for entry in entries:
        if _SIGNATURE in entry and str(entry.get(_KEY)) not in known:
            raise _unknown_key(path, entry)
    return AuditCheck(
        file=str(path),
        lines=len(entries),
        last=str(entries[-1]["hash"]) if entries else None,
        torn=tail != b"",
        unsigned=sum(_SIGNATURE not in entry for entry in entries),
    )


def _hold_against(path: Path, entries: list[AuditEntry], noted: Reached | None) -> None:
    """Raise unless a file has what was noted of it outside its folder."""
    if noted is None:
        return
    older_restored = (
        "restore the file from a backup; or, if an older state was restored and the lines that "
        f"came after may be forgotten, remove {audit_key.record_file(path)}"
    )
    if len(entries) < noted.lines:
        gone = noted.lines - len(entries)
        lines = f"the last {gone} lines are" if gone > 1 else "the last line is"
        raise ValidationError(f"{path}: {lines} missing, of {noted.lines} recorded", older_restored)
    if noted.lines and entries[noted.lines - 1]["hash"] != noted.last:
        raise ValidationError(
            f"{path}: the file was rewritten: line {noted.lines} isn't the one recorded",
            older_restored,
        )


@cache
def _warn_of_torn(path: Path, number: int) -> None:
    """Warn once that the last line was never committed: `append` cuts it off."""
    log.warning(
        "%s line %d lacks its end: that decision was never committed and doesn't count; "
        "the next decision takes its place",
        path,
        number,
    )


def unfinished(path: Path) -> AuditEntry | None:
    """Return the decision of a last line that lacks only its last byte or two; None without one.

    Whether it was committed shows elsewhere: a committed one has been carried out.
    """
    if not path.exists() or path.read_bytes()[-1:] in (b"", b"\n"):
        return None
    return _without_end(*_chain(path))


def _without_end(entries: list[AuditEntry], tail: bytes) -> AuditEntry | None:
    """Return the line that a tail is, but for its last byte or two; None where it is none."""
    whole = next((json.loads(x) for x in (tail, tail + b"}") if _holds(x)), None)
    follows = entries[-1] if entries else {"hash": GENESIS}
    if not whole or whole.get("previous") != follows["hash"]:
        return None
    if _SIGNATURE in follows and _SIGNATURE not in whole:
        return None
    return whole if _signature_holds(whole, audit_key.keys()) else None


def finish(path: Path, entry: AuditEntry) -> None:
    """Give the last line back the end that it lost after its decision was carried out."""
    log.warning("%s line %d had lost its end, and was completed", path, entry["number"])
    storage.append_line(path, _line(entry))


def _holds(line: bytes) -> bool:
    """Whether a line's content is what was hashed."""
    try:
        entry = json.loads(line)
        stated = entry.pop("hash")
        return bool(digest(entry) == stated)
    except _NO_DECISION:
        return False


def _line(entry: AuditEntry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode()


def _broken(path: Path, number: int, why: str) -> ValidationError:
    return ValidationError(
        f"{path} line {number}: {why}", "restore the file from a backup; decisions depend on it"
    )


def locked(path: Path) -> AbstractContextManager[None]:
    """Exclusive right to decide; the lock goes with the process, also by kill -9."""
    return exclusive(path.with_suffix(".lock"))


def append(path: Path, **fields: Json) -> AuditEntry:
    """Record a decision and sync it to disk; call inside `locked`.

    Beside what it is given a line says when, from which account of the operating system and on
    which machine.

    Raises:
        UsageError: the file's lines are signed, and there is no key to sign this one.
        ValidationError: see `read`; nothing is added then, which would hide what is missing.
    """
    entries, lost, tail = _held(path)
    if lost:
        finish(path, lost)
        entries.append(lost)
    elif tail:
        _warn_of_torn(path, len(entries) + 1)
    entry: dict[str, Json] = {
        "number": len(entries) + 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **fields,
        "account": owner.account(),
        "host": socket.gethostname(),
        "previous": entries[-1]["hash"] if entries else GENESIS,
    }
    keys = audit_key.make()
    if keys:
        name, key = next(iter(keys.items()))
        entry[_KEY] = name
        entry[_SIGNATURE] = audit_key.sign(key, entry)
    elif entries and _SIGNATURE in entries[-1]:
        raise UsageError(
            f"no key to sign a decision with: {audit_key.key_file()} can't be made",
            f"make its folder writable, or name a key file with {audit_key.VARIABLE}",
        )
    else:
        _warn_of_no_key(path)
    sealed = digest(entry)
    entry["hash"] = sealed
    storage.append_line(path, _line(entry))
    audit_key.record(path, Reached(len(entries) + 1, sealed, bool(keys)))
    return entry


@cache
def _warn_of_no_key(path: Path) -> None:
    log.warning(
        "%s can't be made: decisions in %s are not signed, and nothing shows that none was forged",
        audit_key.key_file(),
        path,
    )
