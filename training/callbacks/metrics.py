"""metrics.jsonl: one line per step, in full precision, each step once whatever kills the run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TextIO

from headrace.infra import storage
from headrace.training.callbacks.base import Callback, Run, Step

NAME = "metrics.jsonl"
"""The file in a run folder."""

Line = dict[str, float]
"""One step's figures by name; `step` is its number."""


def read(path: Path) -> list[Line]:
    """Read the whole lines of a metrics file; half a line at its end is left out."""
    if not path.exists():
        return []
    lines: list[Line] = []
    for line in path.read_bytes().splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            lines.append(value)
    return lines


class Metrics(Callback):
    """Append each step's record to metrics.jsonl, after dropping what no checkpoint knows of."""

    _file: TextIO | None = None

    def begin(self, run: Run) -> None:
        """Open the file of the run."""
        self.open(run.folder / NAME, run.done)

    def open(self, path: Path, done: int) -> None:
        """Keep the lines of the first `done` steps, and append from there on."""
        kept = {line["step"]: line for line in read(path) if line["step"] <= done}
        text = "".join(json.dumps(kept[step]) + "\n" for step in sorted(kept))
        storage.write_bytes(path, text.encode())
        self._file = path.open("a", encoding="utf-8")

    def after(self, step: Step) -> None:
        """Append one line; a reader sees it at once."""
        assert self._file is not None
        self._file.write(json.dumps(step.record) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Make all lines durable, before a checkpoint says that their steps are done."""
        assert self._file is not None
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
