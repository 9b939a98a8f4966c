"""Which text an alert may name: what its owner raised it on, and what lies in trusted places.

An alert is an event that any program with access to Prefect's server can send, and the text that it
names is taught to the model. So of what the owner's account can read, only the state folder, the
inboxes and the places of a setting are open to it: every file that is read for the text has to lie
in one of them, wherever links, globs, windows of an inbox and releases lead. What the state folder
holds beside text (passwords, tokens, databases) is open to no alert. `headrace alert` and the
monitor that the owner calls may name any text: what they name is noted here, where only the owner
writes.

    HOME/windows/raised/<digest>.json    a window that an alert was raised on here
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError
from headrace.infra.lineage import digest
from headrace.infra.state.state_dir import home
from headrace.tasks.retraining.window import files_read

_NO_TEXT = ("stack", "prefect", "spark", "logs", "receiver.json", "deploy.json", "notify.json")
"""What of the state folder may hold a password or token."""


def note(window: str) -> None:
    """Note that this state folder's owner has an alert raised on a window.

    The note is kept for as long as a window is (retention.windows_days), counted from the last one.
    """
    said = {"window": window, "raised": datetime.now(UTC).isoformat(timespec="seconds")}
    storage.write_json(_note(window), said)


def why_not(window: str, roots: Iterable[str]) -> str | None:
    """Why an alert may not name a window, None where it may, or where nothing is there to read.

    Args:
        window: URI of the text.
        roots: folders and s3:// prefixes besides the state folder and its inbox.
    """
    places = [str(home().root), str(home().inbox), *roots]
    try:
        if _note(window).exists():
            return None
        if not _open(window, places):
            return f"the alert names {window}, which {_OUTSIDE}"
        for file in files_read(window):
            if not _open(file, places):
                return f"the alert names {window}, which leads to {file}: that {_OUTSIDE}"
    except UsageError as error:
        return error.message
    except InputError:
        return None  # what can't be listed can't be read either: the round says why
    return None


_OUTSIDE = "is neither in the state folder's text nor in an inbox nor in retrain.alert_roots"


def _note(window: str) -> Path:
    name = home().relative(window) if storage.local_path(window) is not None else window
    return home().windows / "raised" / f"{digest(name)[:24]}.json"


def _open(uri: str, places: Iterable[str]) -> bool:
    """Whether something lies in one of some places, and isn't private."""
    path = storage.local_path(uri)
    if path is not None:
        real = Path(os.path.realpath(path))
        below = real.relative_to(home().root) if real.is_relative_to(home().root) else Path()
        if below.parts[:1] and below.parts[0] in _NO_TEXT:
            return False
    return any(_inside(uri, place) for place in places)


def _inside(uri: str, root: str) -> bool:
    path, folder = storage.local_path(uri), storage.local_path(root)
    if path is not None and folder is not None:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    if path is not None or folder is not None:
        return False
    if {".", ".."} & {*PurePosixPath(uri).parts, *uri.split("/")}:
        return False
    return uri == root.rstrip("/") or uri.startswith(f"{root.rstrip('/')}/")
