"""The three streams of a command: results, progress, and everything else in the log file.

Libraries (a JVM, native code, warnings) write to file descriptors 1 and 2 as they please. So
`open_console` keeps the user's two streams for headrace alone and points descriptors 1 and 2 at
the log file; children inherit the log, and find the user's standard error by HEADRACE_PROGRESS_FD.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from headrace.infra.visible import visible, visible_text

PROGRESS_FD = "HEADRACE_PROGRESS_FD"
"""Variable with the descriptor of the user's standard error."""
RECORDS = "HEADRACE_PROGRESS_RECORDS"
"""Variable, set where a program reads that descriptor: each line is a `Record` as JSON."""
_lock = threading.Lock()
_last_line = time.monotonic()
_progress: TextIO | None = None
_stdout: TextIO | None = None
_log_path: Path | None = None
HEARTBEAT_SECONDS = 10.0
LOG_BYTES = 20 << 20
"""From this size on a new log is started; the one before it is kept as `NAME.1`, and so on."""
LOGS_BEFORE = 4
"""How many of those are kept."""


_Trace = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
"""What `sys.exc_info` gives."""


class _OneLine(logging.Formatter):
    """A log line as a user reads it: no trace, that one goes to the log file."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"


class _InFile(logging.Formatter):
    """A log line as the file has it: a record is one line, and its trace is set off below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _Trace) -> str:
        return _set_off(super().formatException(ei))


def _set_off(trace: str) -> str:
    """Return a trace whose lines can't be taken for log lines, whatever the messages in it hold."""
    return "\n".join(f"  | {line}" for line in visible_text(trace).splitlines())


class _ToUser(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def open_console(log: Path, debug: bool = False, silent: bool = False) -> None:
    """Send descriptors 1 and 2 to `log`; keep the user's for `say` and `result`. Call once.

    `silent`: the user sees nothing of what this process says; the log has its warnings.
    """
    global _progress, _stdout, _log_path
    if _progress is not None:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _log_path = log if str(log) != os.devnull else None
    inherited = os.environ.get(PROGRESS_FD)
    if silent:
        error = os.open(os.devnull, os.O_WRONLY)
    else:
        error = int(inherited) if inherited else os.dup(2)
    os.set_inheritable(error, True)
    os.environ[PROGRESS_FD] = str(error)
    _progress = os.fdopen(error, "w", buffering=1, encoding="utf-8", errors="replace")
    _stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
    _write_to(log)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    to_file = logging.StreamHandler(sys.stderr)
    to_file.setFormatter(_InFile("%(asctime)s %(levelname)s %(name)s %(message)s"))
    to_user = _ToUser(level=logging.DEBUG if debug else logging.INFO)
    to_user.addFilter(logging.Filter("headrace"))
    to_user.setFormatter(_OneLine())
    root.handlers[:] = [to_file, to_user]
    for chatty in ("httpx", "httpcore", "py4j"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    threading.Thread(target=_heartbeat, daemon=True).start()


def _write_to(log: Path) -> None:
    """Point descriptors 1 and 2 at a log, which starts empty if it has grown large."""
    _roll(log)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(sink)


def _roll(log: Path) -> None:
    """Give a large log another name, and forget the oldest; one process at a time does."""
    if not _is_large(log):
        return
    lock = os.open(log.with_name(f".{log.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_large(log):
            return  # another process was quicker
        for number in range(LOGS_BEFORE, 0, -1):
            older = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
            with suppress(FileNotFoundError):
                older.replace(log.with_name(f"{log.name}.{number}"))
    finally:
        os.close(lock)


def _is_large(log: Path) -> bool:
    try:
        return log.stat().st_size >= LOG_BYTES
    except FileNotFoundError:
        return False


def _keep_small() -> None:
    """Start a new log for a long command; what its children write stays in the old one."""
    if _log_path is not None and os.fstat(1).st_size >= LOG_BYTES:
        with suppress(OSError):  # a full disk: it is tried again
            _write_to(_log_path)


def progress_fds() -> tuple[int, ...]:
    """Descriptors that a child process must be given to speak to the user (`pass_fds`)."""
    return (int(os.environ[PROGRESS_FD]),) if os.environ.get(PROGRESS_FD) else ()


@contextmanager
def listening(pipe: Path) -> Iterator[None]:
    """While it is open, say what a process that can inherit no descriptor writes to a named pipe.

    Args:
        pipe: where the pipe is made; removed at the end.
    """
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    # A pipe opens when both ends do, and ends when the last writer is gone: ours is the first one.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.set_blocking(reader, True)

    def copy() -> None:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                _write(Record.of(line.rstrip("\n")))

    copier = threading.Thread(target=copy, daemon=True)
    copier.start()
    try:
        yield
    finally:
        pipe.unlink(missing_ok=True)
        os.close(writer)
        copier.join(5)


def speak_through(pipe: Path) -> None:
    """Speak to the user through the pipe that another process listens to; before `open_console`.

    Raises:
        OSError: that process is gone.
    """
    fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    os.environ[PROGRESS_FD] = str(fd)


def log_path() -> Path | None:
    """Return the log file of this command, where traces go."""
    return _log_path


@dataclass(frozen=True)
class Record:
    """A line of progress."""

    text: str
    stage: str | None = None
    """What it is the progress of; None: it is only a line."""
    done: int = 0
    total: int | None = None
    """Of `done`; None: it isn't known."""

    @classmethod
    def of(cls, line: str) -> Record:
        """Return the record that a line holds; of plain text a line."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return cls(line)

    @property
    def line(self) -> str:
        """The record as a person reads it."""
        return f"{self.stage}: {self.text}" if self.stage else self.text


def say(line: str) -> None:
    """Write one line of progress to the user's standard error, every character of it visible."""
    _write(Record(line))


def _write(record: Record) -> None:
    global _last_line
    line = json.dumps(asdict(record)) if RECORDS in os.environ else visible(record.line)
    with _lock:
        _last_line = time.monotonic()
        print(line, file=_progress or sys.stderr, flush=True)


def result(text: str) -> None:
    """Write to the user's standard output; of control characters only line feeds and tabs."""
    print(visible_text(text), file=_stdout or sys.stdout, flush=True)


def trace() -> None:
    """Write the trace of the exception at hand to the log."""
    print(_set_off(traceback.format_exc()), file=sys.stderr, flush=True)


_doing: list[tuple[str, float]] = []


def _heartbeat() -> None:
    """Say what is being waited for, so that no long step is silent for 20 seconds."""
    while True:
        time.sleep(1)
        _keep_small()
        now = time.monotonic()
        if _doing and now - max(_last_line, _doing[-1][1]) > HEARTBEAT_SECONDS:
            stage, since = _doing[-1]
            _write(Record(f"still working, {now - since:.0f} s so far", stage))


class Progress:
    """Progress of one stage: a line at most every `every` seconds, and one at the end.

    Use as a context manager; `advance` may be called as often as you like. While it is open the
    heartbeat names the stage. `total` None means that the amount of work is not known.
    """

    def __init__(
        self, stage: str, total: int | None = None, unit: str = "", every: float = 5.0
    ) -> None:
        self.stage, self.total, self.unit, self.every = stage, total, unit, every
        self.done, self.note = 0, ""
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        _doing.append((self.stage, self._start))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _doing[:] = [x for x in _doing if x != (self.stage, self._start)]
        seconds = time.monotonic() - self._start
        if kind is None:
            self._report(f"done in {seconds:.1f} s{self._amount()}")

    def _report(self, text: str) -> None:
        _write(Record(text, self.stage, self.done, self.total))

    def _amount(self) -> str:
        of = f" of {self.total:,}" if self.total and self.done != self.total else ""
        amount = f", {self.done:,}{of} {self.unit}".rstrip() if self.done else ""
        return amount + (f", {self.note}" if self.note else "")

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done; `note` (a loss, say) replaces the last one."""
        self.done += n
        self.note = note or self.note
        now = time.monotonic()
        if self.done and now - self._said >= self.every:
            self._said = now
            left = ""
            if self.total and self.done:
                rest = (now - self._start) * (self.total - self.done) / self.done
                left = f", {max(0.0, rest):.0f} s left"
            self._report(f"{self._amount()}{left}".removeprefix(", "))
