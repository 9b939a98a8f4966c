"""What vouches for audit files from outside of their state folders: a key, and how far each came.

    ~/.config/headrace/audit.key          the key, of this account; made when it is first needed
    ~/.config/headrace/audit-HASH.json    of one audit file: its lines up to now, and the last hash

Whoever can write into a state folder alone can neither forge a line nor take the last ones away
unseen: the note is of the folder itself, which they can't replace. One that was begun anew at the
same path, or put in its place from a backup, is another folder, of which nothing is noted yet.
HEADRACE_AUDIT_KEY_FILE names another key file; the rest lies beside it. The key file may
hold several keys, one a line in hex: the first signs, and lines that any of them signed are good,
so that a key can be replaced.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import hmac
import json
import os
import re
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest

VARIABLE = "HEADRACE_AUDIT_KEY_FILE"
_KEY = re.compile(r"[0-9a-f]{64,}")


@dataclass(frozen=True)
class Reached:
    """How far an audit file came."""

    lines: int
    last: str
    """Hash of that line."""
    signed: bool
    """Whether that line is signed."""


def key_file() -> Path:
    """Where the key is, or would be made."""
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config).absolute() / "headrace" / "audit.key"


def keys() -> dict[str, bytes]:
    """{name: key} of this account, the one that signs first; empty where none was made yet.

    Raises:
        UsageError: the file can't be read, or holds something else.
    """
    path = key_file()
    try:
        words = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"{path}: the audit key can't be read: {why}", _hint(path)) from None
    if not words or not all(_KEY.fullmatch(word) for word in words):
        raise UsageError(f"{path} has no audit key: each line is 64 hex digits", _hint(path))
    return {hashlib.sha256(bytes.fromhex(w)).hexdigest()[:16]: bytes.fromhex(w) for w in words}


def _hint(path: Path) -> str:
    return f"restore {path} from a backup, or name another with {VARIABLE}"


def make() -> dict[str, bytes]:
    """`keys`, after the first one was made where there was none; empty where it can't be made."""
    path = key_file()
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            storage.make_private_text(path, f"{secrets.token_hex(32)}\n")
        except OSError:
            return {}
    return keys()


def sign(key: bytes, entry: Mapping[str, Json]) -> str:
    """HMAC-SHA256 of a JSON object, in hex; the order of its keys doesn't matter."""
    text = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def record(audit: Path, reached: Reached) -> None:
    """Note how far an audit file came; where that can't be written it stays as it was."""
    with contextlib.suppress(OSError):
        said = {"file": str(audit.absolute()), "folder": folder(audit.parent), **vars(reached)}
        storage.write_private(record_file(audit), said)


def reached(audit: Path) -> Reached | None:
    """How far an audit file came as far as is known here, None where nothing is of its folder."""
    try:
        said = storage.read_json(record_file(audit))
        if said["folder"] != folder(audit.parent):
            return None
        return Reached(int(said["lines"]), str(said["last"]), bool(said["signed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_file(audit: Path) -> Path:
    """Where it is noted how far an audit file came."""
    return key_file().parent / f"audit-{digest(str(audit.absolute()))[:16]}.json"


def folder(path: Path) -> str:
    """Return what tells a folder from every other that its disk has had or will have at this path.

    Its number alone would not: the next folder that is made gets that of one that was removed.
    """
    return f"{path.stat().st_ino} {_born(path)}"


_HERE, _AS_STAT, _BIRTH = -100, 0, 0x800
"""AT_FDCWD, no flags, STATX_BTIME of statx(2)."""


def _born(path: Path) -> int:
    """When a folder was made (ns since 1970); 0 where its disk, or this system, doesn't say."""
    found = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(_HERE, os.fsencode(path), _AS_STAT, _BIRTH, found)
    except AttributeError:
        return 0
    (known,) = struct.unpack_from("=I", found, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    return 0 if failed or not known & _BIRTH else int(seconds) * 10**9 + int(nanoseconds)
