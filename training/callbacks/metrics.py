"""metrics.jsonl: a line a step, in full precision, each step once however often it was killed."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.training.callbacks.base import Callback, Step


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; half a line at its end is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_bytes().splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            lines.append(value)
    return lines


class Metrics(Callback, AbstractContextManager["Metrics"]):
    """Appends to `path` from step `done` on, after dropping what lies beyond that step."""

    def __init__(self, path: Path, done: int) -> None:
        kept = {line["step"]: line for line in read(path) if line["step"] <= done}
        text = "".join(json.dumps(kept[step]) + "\n" for step in sorted(kept))
        storage.write_bytes(path, text.encode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Append one line; a reader sees it at once."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def after(self, step: Step) -> None:
        """Write the step's record."""
        self.write(step.record)

    def sync(self) -> None:
        """Make all lines durable, before a checkpoint says that their steps are done."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __exit__(self, *_: object) -> None:
        """Close, whatever ended the block."""
        self.close()
