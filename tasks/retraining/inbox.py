"""Windows of an inbox: new files form the next one, and each file belongs to exactly one.

A window is its record (records.py): once that is there, its files are taken. A window without a
verdict is judged again, so a kill between both loses nothing, and no round is begun on it before.

Windows that have a verdict and that a round has closed are listed in settled.jsonl, and aren't read
again, whatever their number. Their own records stay as long as a person may ask for them
(retention.windows_days); a line is dropped after that, once none of its files lies in the inbox any
more.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping, Set
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.infra.files import quarantine, walk
from headrace.infra.files.companions import why_none
from headrace.infra.lineage import digest
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import InboxSettings
from headrace.tasks.retraining.records import WINDOW, Record, relative
from headrace.tasks.retraining.rounds import archive, closed_windows, is_closed, stored
from headrace.tasks.retraining.verdicts import verdict_on
from headrace.tasks.retraining.window import InboxWindow, WindowFile, file_of, local

SETTLED = "settled.jsonl"
_SECOND_LOOK = 0.5
logger = logging.getLogger(__name__)


def open_windows() -> list[str]:
    """Return the judged windows of all inboxes that no round has closed, oldest first."""
    windows = sorted((w.made, str(path)) for path, w in _made(home().windows.glob("*")))
    closed = closed_windows()
    return [w for _, w in windows if verdict_on(w) and not is_closed(w, closed)]


def watching(inbox: str) -> AbstractContextManager[None]:
    """One monitor of an inbox at a time, from the making of its windows to the last verdict."""
    return exclusive(_folder(inbox) / "lock")


def check_inbox(inbox: str) -> None:
    """Raise unless an inbox is there; a prefix on S3 is, though nothing lies below it yet.

    Raises:
        InputError: it isn't there, or its storage doesn't answer.
    """
    if not storage.exists(inbox) and not inbox.startswith("s3://"):
        raise InputError(
            f"{inbox}: no such folder",
            "make it, or give another: --inbox URI (deployed: `headrace deploy --set inbox=URI`)",
        )


def next_windows(inbox: str, settings: InboxSettings) -> list[str]:
    """Return an inbox's windows without a verdict, including a new one of what has arrived.

    Call it, and judge what it gives, inside `watching`. Files that still grow, or have a name that
    programs give while they write, wait.

    Raises:
        InputError: the inbox isn't there, or its storage doesn't answer.
    """
    check_inbox(inbox)
    folder = _folder(inbox)
    settled = _fold(folder)
    windows = [window for _, window in _made([folder])]
    files = [file for lines in (settled.values(), windows) for w in lines for file in w.files]
    new, present = _arrived(inbox, {file.place: file for file in files}, settings)
    _forget(folder, settled, present)
    if new:
        number = _free_number(folder, settled)
        window = InboxWindow(
            inbox=relative(inbox),
            number=number,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            files=tuple(new),
        )
        storage.write_json(folder / _name(number), window.model_dump(mode="json"))
    return [str(path) for path, _ in _made([folder]) if verdict_on(str(path)) is None]


def _name(number: int) -> str:
    return f"{number:06d}{WINDOW}"


def _free_number(folder: Path, settled: Mapping[int, _Line]) -> int:
    """Return a number that no window has had, not even one that was dissolved."""
    names = [p.name for p in folder.glob("*.json")]
    names += [Path(w).name for r in stored() for w in r.places if Path(w).parent == folder]
    numbers = [int(n) for n in (name.split(".")[0] for name in names)
               if re.fullmatch("[0-9]{6,9}", n)]  # fmt: skip
    return max([*numbers, *settled], default=0) + 1


class _Line(Record):
    """A window that is done with, as a line of settled.jsonl."""

    number: int
    files: tuple[WindowFile, ...] = Field(strict=False)


def _settled(folder: Path) -> dict[int, _Line]:
    """Return {number: its line} of an inbox's settled windows; a damaged line is passed over."""
    try:
        lines = (folder / SETTLED).read_bytes().splitlines()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return {}
    settled = {}
    for number, line in enumerate(lines, 1):
        try:
            window = _Line.model_validate(json.loads(line))
        except (ValueError, RecursionError):
            # Its window is folded again where that is still there.
            logger.warning("%s line %d is skipped: not a record", folder / SETTLED, number)
        else:
            settled[window.number] = window
    return settled


def _fold(folder: Path) -> dict[int, _Line]:
    """List the windows in settled.jsonl that rounds have closed since; all that it lists then."""
    settled, closed = _settled(folder), closed_windows()
    new = {
        window.number: _Line(number=window.number, files=window.files)
        for path, window in _made([folder])
        if is_closed(str(path), closed) and verdict_on(str(path)) is not None
    }
    if new:
        settled |= new
        _write(folder, settled)
    _archive_rounds(folder, settled)
    return settled


def _archive_rounds(folder: Path, settled: Mapping[int, _Line]) -> None:
    """Put the rounds away whose windows are all listed."""
    rounds = [r for r in stored() if r.closed]
    others = {Path(w).parent for r in rounds for w in r.closed} - {folder}
    lines = {folder: settled, **{other: _settled(other) for other in others}}
    listed = {str(at / _name(number)) for at, found in lines.items() for number in found}
    archive(rounds, listed)


def _forget(folder: Path, settled: Mapping[int, _Line], present: Set[str]) -> None:
    """Drop the lines of windows that retention has removed and whose files have left the inbox.

    The newest stays, for its number. An inbox that is empty may be a disk that isn't mounted.
    """
    if not present or not settled:
        return
    newest = max(settled)
    left = {
        number: line
        for number, line in settled.items()
        if number == newest
        or (folder / _name(number)).exists()
        or any(file.place in present for file in line.files)
    }
    if len(left) < len(settled):
        _write(folder, left)


def _write(folder: Path, settled: Mapping[int, _Line]) -> None:
    lines = [json.dumps(line.model_dump(mode="json")) + "\n" for _, line in sorted(settled.items())]
    storage.write_bytes(folder / SETTLED, "".join(lines).encode())


def _folder(inbox: str) -> Path:
    return home().windows / digest(relative(inbox))[:12]


def _arrived(
    inbox: str, taken: Mapping[str, WindowFile], settings: InboxSettings
) -> tuple[list[WindowFile], set[str]]:
    """Return (the files that no window has and that no program writes any more, all that is there).

    The files are in the order of names.

    What only accompanies data (a README, checksums) or has a name that programs give while they
    write is none of them. Nor is what a link leads to out of the inbox: whoever may write there
    could have any file of this account's taught to the model.
    """
    folder = storage.local_path(inbox)
    real = None if folder is None else os.path.realpath(folder)

    def look() -> dict[str, tuple[int, int]]:
        found = {}
        for uri, size, changed in walk.listing(inbox):
            state = size, changed
            present.add(uri)
            if uri not in taken:
                if real is not None and not Path(os.path.realpath(local(uri))).is_relative_to(real):
                    outside.add(uri)
                elif not why_none(uri.rpartition("/")[2]):
                    found[uri] = state
            elif not taken[uri].is_intact(state):
                logger.warning("%s has changed since its window was made: give new text a new "
                               "name", uri)  # fmt: skip
        return found

    outside, present = set[str](), set[str]()
    before, now = look(), time.time_ns()
    for uri in sorted(outside):
        logger.warning("%s is skipped: a link leads out of the inbox; put a copy there", uri)
    # What was written "in the future" was so before the clock was set back: it isn't written now.
    quiet = {u: s for u, s in before.items() if abs(now - s[1]) >= settings.settle_seconds * 1e9}
    if not quiet:
        return [], present
    # A program that copies the time of change along betrays itself by the size.
    time.sleep(_SECOND_LOOK)
    after = look()
    files = [file_of(uri, state) for uri, state in sorted(quiet.items()) if after.get(uri) == state]
    there = [f for f in files if storage.stat(f.place) == (f.bytes, f.changed)]
    return there, present


def dissolve(window: str) -> None:
    """Give the files of a window that can't be judged yet back: they join the next one.

    Only inside `watching`, and before it has a verdict.
    """
    Path(window).unlink(missing_ok=True)


def _made(folders: Iterable[Path]) -> list[tuple[Path, InboxWindow]]:
    """Return some inboxes' windows that aren't listed as settled, in the order of their numbers.

    A window under another number than its own, as a copy has, would take its files twice.
    """
    windows = []
    paths: list[Path] = []
    for folder in folders:
        listed = {_name(number) for number in _settled(folder)}
        paths += sorted(p for p in folder.glob(f"*{WINDOW}") if p.name not in listed)
    for path in paths:
        window = quarantine.read(path, InboxWindow.model_validate)
        if window is None:
            continue
        if path.name != (name := _name(window.number)):
            quarantine.set_aside(path, f"it is {name} under another name")
            continue
        windows.append((path, window))
    return windows
