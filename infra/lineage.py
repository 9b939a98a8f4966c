"""Identity of work: the same inputs, settings and code give the same id."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from headrace.infra import storage

HELDOUT_MODULUS = 50
"""A record is held out where its content hash, read as a number, is divisible by this."""

_ROOT = Path(__file__).resolve().parents[1]
_CODE = {".py", ".npz", ".json", ".yaml", ".safetensors", ".txt", ".parquet"}


def digest(value: Any) -> str:
    """128-bit hash of a JSON value as 32 hex digits; the order of keys doesn't matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def sha256(uri: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    h = hashlib.sha256()
    with storage.open_input(uri) as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


@cache
def code_version(layer: str) -> str:
    """Hash of the sources and data files of `layer` and of infra.

    Not a commit, so that a change elsewhere keeps caches.
    """
    h = hashlib.blake2b(digest_size=16)
    for top in sorted({layer, "infra"}):
        root = _ROOT / top
        for path in sorted(p for p in root.rglob("*") if p.suffix in _CODE and p.is_file()):
            h.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()


def is_heldout(content_hash: str) -> bool:
    """Whether the record of this hash (128-bit hex) is kept from everything that is fitted."""
    return int(content_hash, 16) % HELDOUT_MODULUS == 0
