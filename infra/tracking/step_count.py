"""How many steps a stage takes at most, in its run folder, where its settings don't say it."""

from __future__ import annotations

from pathlib import Path

from headrace.infra import storage

_NAME = "steps.json"


def write(folder: Path, steps: int) -> None:
    """Write it down, before the first step."""
    storage.write_json(folder / _NAME, {"steps": steps})


def read(folder: Path) -> int | None:
    """Return what was written down, None where nothing was."""
    path = folder / _NAME
    return int(storage.read_json(path)["steps"]) if path.exists() else None
