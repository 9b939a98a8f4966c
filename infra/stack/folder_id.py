"""What tells a state folder from every other, its copies included."""

from __future__ import annotations

import secrets

from headrace.infra import storage
from headrace.infra.state.state_dir import Home


def folder_id(home: Home) -> str | None:
    """Return the id of a state folder; None where it has none yet.

    It is the same by every path, from every host, and after the folder was moved on its disk: the
    content of a file, which a copy has too, with the number that the disk gave the file's folder,
    which a copy has not.
    """
    try:
        return f"{(home.stack / 'id').read_bytes()[:64].hex()}-{home.stack.stat().st_ino}"
    except OSError:
        return None


def make_folder_id(home: Home) -> str | None:
    """Return the id of a state folder, which gets one if it has none."""
    path = home.stack / "id"
    if not path.exists():
        storage.write_bytes(path, secrets.token_hex(8).encode())
    return folder_id(home)
