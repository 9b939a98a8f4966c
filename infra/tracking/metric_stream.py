"""A stage's figures in MLflow while it trains: its metrics.jsonl and the load of the machine.

Another process trains and appends to the file; this one reads what is new every few seconds, later
every minute. A server that doesn't answer holds nothing up: the figures follow when it does.
A stage that was killed and resumes continues the curves of the same run: the file is read from its
beginning, and what MLflow has already is left out.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.infra.tracking import step_count
from headrace.infra.tracking.runs import Point, Tracking, metric_name, milliseconds

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds from one look at the file to the next, in the first minutes."""
AT_MOST = 60.0
"""The same after hours: it grows with the time that the stage has taken."""
DENSE = 1000
"""Points of a curve that are all logged; from there on every second one, then every fourth …"""
FIRST = 2.0
"""Seconds to the first look: the process that trains is started first."""
PATIENCE = 30.0
"""Seconds that the end of a stage waits for figures that are on their way."""
PROGRESS = "progress"
"""Name of the curve that says which share of a stage's steps is done."""
_MACHINE = "system/"
"""What MLflow's names of the machine's figures begin with."""


class MetricStream(threading.Thread):
    """Logs a stage's figures from when it is started until it is closed.

    Args:
        store: where to.
        begin: opens the run of the stage: (its id, whether it was recorded before).
        path: the stage's metrics.jsonl, which need not be there yet.
        every: seconds between two looks.
        total: steps of the whole stage, of which `progress` is the share done; None: what the stage
            writes down (`step_count`).
    """

    def __init__(
        self,
        store: Tracking,
        begin: Callable[[], tuple[str, bool]],
        path: Path,
        every: float = EVERY,
        total: int | None = None,
    ) -> None:
        super().__init__(daemon=True, name="metric stream")
        self.store, self.path, self.every = store, path, every
        self.run_id: str | None = None
        """The run, once it is open."""
        self.recorded = False
        """Whether the stage was recorded before, so that there is nothing to log."""
        self._begin, self._curves, self._machine = begin, _Curves(total), _machine()
        self._pending: list[Point] = []
        self._last: dict[str, int] = {}
        self._samples = 0
        self._closed = threading.Event()
        self._looking, self._sending = threading.Lock(), threading.Lock()
        self._sender: threading.Thread | None = None
        self._complained = False

    def run(self) -> None:
        """Look, log, wait, until it is closed.

        Logging has its own thread: MLflow's client tries for minutes to reach a server that is
        away, and what is measured meanwhile belongs to the time when it was.
        """
        began, wait = time.monotonic(), min(FIRST, self.every)
        while not self._closed.wait(wait) and not self.recorded:
            self._look()
            if self._sender is None or not self._sender.is_alive():
                self._sender = threading.Thread(target=self._try, daemon=True, name="metric sender")
                self._sender.start()
            wait = max(self.every, min(AT_MOST, (time.monotonic() - began) / 100))

    def _try(self) -> None:
        try:
            self._log()
        except Exception as error:  # training continues whatever becomes of its figures
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            first = (str(error).splitlines() or [""])[0][:200]
            log.warning("MLflow accepts no figures now (%s); they are sent when it does", first)

    def flush(self) -> None:
        """Log what has come since the last time."""
        self._look()
        self._log()

    def _look(self) -> None:
        """Take what is new in the file, and how busy the machine is, with the time of now."""
        with self._looking:
            self._pending += [*self._new_points(), *self._load()]

    def _log(self) -> None:
        with self._sending:
            if (run := self._open()) is None:
                return
            with self._looking:
                points = list(self._pending)
            # The same points with the same times until they are taken: MLflow keeps each once.
            self.store.log_points(run, points)
            with self._looking:
                del self._pending[: len(points)]

    def rest(self) -> str:
        """Log what is left when the stage is done, the last point of each curve too; the run."""
        with self._looking:
            self._pending += self._new_points()
            self._pending += self._unseen(self._curves.last())
        self._log()
        assert self.run_id is not None
        return self.run_id

    def close(self) -> bool:
        """Stop looking; whether a look that was under way ended within `PATIENCE`."""
        self._closed.set()
        end = time.monotonic() + PATIENCE
        if self.is_alive():
            self.join(PATIENCE)
        if self._sender is not None:
            self._sender.join(max(0.0, end - time.monotonic()))
        return not (self.is_alive() or (self._sender is not None and self._sender.is_alive()))

    def _open(self) -> str | None:
        """Return the run, opened if it isn't yet; None where nothing is to be logged."""
        if self.run_id is None:
            run, self.recorded = self._begin()
            if not self.recorded:
                self._continue(self.store.last_steps(run))
            self.run_id = run
        return None if self.recorded else self.run_id

    def _continue(self, last: dict[str, int]) -> None:
        """Continue curves after these last steps, with what was taken before they were known."""
        machine = [step for name, step in last.items() if name.startswith(_MACHINE)]
        logged = 1 + max(machine, default=-1)
        with self._looking:
            self._samples += logged
            self._pending = [
                replace(p, step=p.step + logged) if p.name.startswith(_MACHINE) else p
                for p in self._pending
                if p.name.startswith(_MACHINE) or p.step > last.get(p.name, -1)
            ]
            for name, step in last.items():
                self._last[name] = max(step, self._last.get(name, -1))

    def _new_points(self) -> list[Point]:
        return self._unseen(self._curves.read(self.path))

    def _unseen(self, points: list[Point]) -> list[Point]:
        """Those beyond the last step that was taken of their curve, by this process or before."""
        new = [p for p in points if p.step > self._last.get(p.name, -1)]
        self._last |= {p.name: p.step for p in new}
        return new

    def _load(self) -> Iterator[Point]:
        """How busy the machine is, by MLflow's names."""
        now, step = milliseconds(), self._samples
        self._samples += 1
        for monitor in self._machine:
            try:
                monitor.collect_metrics()
                values = monitor.aggregate_metrics()
                monitor.clear_metrics()
            except Exception:  # a container may hide its network or disk
                log.debug("no figures of the machine", exc_info=True)
                continue
            for name, value in values.items():
                yield Point(f"{_MACHINE}{name}", float(value), now, step)


def _machine() -> list[Any]:
    """MLflow's monitors of this machine, as far as they work here."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        try:
            found.append(kind())
        except Exception:  # no such device, or no library for it
            log.debug("no %s", kind.__name__, exc_info=True)
    return found


class _Curves:
    """The points of a metrics.jsonl, thinned by how many there are of each name.

    Which points are taken follows from the file alone, so that a stage that was killed and resumes
    takes the same ones.
    """

    def __init__(self, total: int | None = None) -> None:
        self._total, self._file = total, (0, 0)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._at = 0
        self._count: Counter[str] = Counter()
        self._left_out: dict[str, Point] = {}

    def read(self, path: Path) -> list[Point]:
        """Read the points of the whole lines that were appended since the last time."""
        try:
            with path.open("rb") as f:
                about = os.fstat(f.fileno())
                if (about.st_dev, about.st_ino) != self._file or about.st_size < self._at:
                    # A resumed stage rewrites the file, without steps that it does again.
                    self._begin_anew()
                    self._file = (about.st_dev, about.st_ino)
                f.seek(self._at)
                block = f.read()
        except OSError:
            return []
        if self._total is None:
            self._total = step_count.read(path.parent)
        block = block[: block.rfind(b"\n") + 1]
        self._at += len(block)
        now = milliseconds()
        return [p for line in block.splitlines() for p in self._points(line, now)]

    def last(self) -> list[Point]:
        """Return the last point of each curve, where it was left out."""
        return list(self._left_out.values())

    def _points(self, line: bytes, now: int) -> Iterator[Point]:
        try:
            record = json.loads(line)
            step = int(record["step"])
        except (ValueError, TypeError, KeyError, OverflowError):
            return
        if self._total:
            record[PROGRESS] = min(1.0, step / self._total)
        for key, value in record.items():
            # A loss that is NaN is what its reader has to see.
            if key == "step" or not isinstance(value, int | float):
                continue
            point = Point(metric_name(key), float(value), now, step)
            count = self._count[point.name]
            self._count[point.name] += 1
            if count % (1 << (count // DENSE).bit_length()):
                self._left_out[point.name] = point
            else:
                self._left_out.pop(point.name, None)
                yield point
