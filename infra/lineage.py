"""Identity of work: the same inputs, settings and code give the same id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from headrace.infra import storage
from headrace.infra.code_identity import code_version as code_version

HELDOUT_MODULUS = 50
"""A record is held out where its content hash, read as a number, is divisible by this."""


def digest(value: object) -> str:
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


def is_heldout(content_hash: str) -> bool:
    """Whether the record of this hash (128-bit hex) is kept from everything that is fitted."""
    return int(content_hash, 16) % HELDOUT_MODULUS == 0
