"""Windows of an inbox: new files form the next one, and each file belongs to exactly one.

    HOME/windows/<inbox>/<number>.window.json    the files of a window; never changed
    HOME/windows/<inbox>/<number>.verdict.json   what the monitor found, once the alert is out
    HOME/windows/<inbox>/<number>.round.json     what became of the round of retraining on it
    HOME/windows/<inbox>/settled.jsonl           the files of all windows that have both of these
    HOME/windows/last.json                       the newest verdict of any window
    HOME/windows/rounds/                         rounds that are under way (round_start.py)

A window is its first file: once that is there, its files are taken. A window without a verdict is
judged again, so a kill between both loses nothing, and no round is made of it before. What lies in
the state folder is named relative to it, so that a copy has windows of its own files.

Settled windows are read from settled.jsonl, whatever their number. Their own files stay as long as
somebody may ask for them (retention.windows_days); a line goes after that, once none of its files
lies in the inbox any more.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from headrace.infra import releases, storage
from headrace.infra.errors import GoneError, InputError, UsageError
from headrace.infra.files import quarantine, walk
from headrace.infra.files.companions import why_none
from headrace.infra.files.quarantine import Instant
from headrace.infra.lineage import digest, sha256
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import home

if TYPE_CHECKING:  # `headrace status` reads the last verdict, and needs no curation for it
    from headrace.spark_jobs.settings import Source
    from headrace.tasks.configuration.settings import InboxSettings

WINDOW, VERDICT, ROUND = ".window.json", ".verdict.json", ".round.json"
SETTLED = "settled.jsonl"
_SECOND_LOOK = 0.5
logger = logging.getLogger(__name__)


def window_sources(window: str | tuple[Source, ...]) -> tuple[Source, ...]:
    """The inputs of a window: its files where it was made of an inbox, a release's documents.

    Only this state folder's own windows are read as such: a file of that name elsewhere could list
    any text.

    Raises:
        InputError: the window's file isn't there or is none, or its inbox doesn't answer.
        GoneError: text of it has gone or changed since.
    """
    from headrace.spark_jobs.settings import Source

    if not isinstance(window, str):
        return window
    if releases.is_release(window):
        return (Source(uri=storage.join(window, "documents")),)
    if not window.endswith(WINDOW):
        return (Source(uri=window),)
    try:
        own = os.path.realpath(home().windows)
        if not Path(os.path.realpath(_local(window))).is_relative_to(own):
            raise ValueError("it lies elsewhere")
        said = _Window.checked(storage.read_json(window))
        inbox, files = _absolute(said["inbox"]), [_File(**f) for f in said["files"]]
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"{window}: no window of an inbox", "`headrace monitor --inbox URI` makes them"
        ) from None
    for f in files:
        if not f.intact(storage.stat(f.place)):
            if not inbox.startswith("s3://") and not storage.exists(inbox):
                raise InputError(f"{inbox}: no such folder", "is its disk mounted?")
            raise GoneError(
                f"{f.place} has gone or changed since the window {window} was made of it",
                "give new text a new name; with its old content the window is as it was",
            )
    return tuple(Source(uri=f.place) for f in files)


def _local(uri: str) -> Path:
    path = storage.local_path(uri)
    if path is None:
        raise ValueError("no local path")
    return path


def files_read(text: str) -> list[str]:
    """The files that are read for a window or a release, as far as links can lead elsewhere.

    Empty for text on S3, which has no links.

    Raises:
        InputError: something of it isn't there.
        UsageError: it is a release whose manifest is damaged.
    """
    from headrace.spark_jobs.curate.inventory_job import list_inputs

    if storage.local_path(text) is None:
        return []
    sources = window_sources(text)
    files = [s.uri for s in sources if storage.local_path(s.uri) is None]
    if local := [s for s in sources if storage.local_path(s.uri) is not None]:
        files += [f.uri for f in list_inputs(local)]
    if releases.is_release(text):
        try:
            for release in releases.lineage(text):
                names = ["manifest.json", *(f["path"] for f in releases.manifest(release)["files"])]
                files += [storage.join(release, name) for name in names]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{text}: a release whose manifest is damaged", "give the text that it was made of"
            ) from None
    return files


def check_there(text: str) -> None:
    """Nothing, where a window or a reference can be read, as far as a look at its files tells.

    Raises:
        InputError: something of it isn't there.
    """
    from headrace.spark_jobs.curate.inventory_job import list_inputs

    if releases.is_release(text):
        releases.lineage(text)
    else:
        list_inputs(window_sources(text))


def is_there(text: str) -> bool:
    """Whether `check_there` finds nothing amiss."""
    try:
        check_there(text)
    except InputError:
        return False
    return True


def joined(windows: list[str]) -> str | tuple[Source, ...]:
    """Several windows as one."""
    if len(windows) == 1:
        return windows[0]
    return tuple(source for window in windows for source in window_sources(window))


def open_windows() -> list[str]:
    """The judged windows of all inboxes that no round was made of, in the order of their making."""
    made = sorted((said["made"], str(path)) for path, said in _made(home().windows.glob("*")))
    return [path for _, path in made if _has(path, VERDICT) and not _has(path, ROUND)]


def is_settled(window: str) -> bool:
    """Whether a round on a window of an inbox has come to its end."""
    return window.endswith(WINDOW) and _has(window, ROUND)


def settled(window: str, outcome: str) -> None:
    """Keep what became of a round on a window: nobody comes back to it unasked."""
    if window.endswith(WINDOW):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        storage.write_json(_beside(window, ROUND), {"outcome": outcome, "time": now})


def watching(inbox: str) -> AbstractContextManager[None]:
    """One monitor of an inbox at a time, from the making of its windows to the last verdict."""
    return exclusive(_folder(inbox) / "lock")


def check_inbox(inbox: str) -> None:
    """Nothing, where an inbox is there; a prefix on S3 is, though nothing lies below it yet.

    Raises:
        InputError: it isn't, or its storage doesn't answer.
    """
    if not storage.exists(inbox) and not inbox.startswith("s3://"):
        raise InputError(
            f"{inbox}: no such folder",
            "make it, or give another: --inbox URI (deployed: `headrace deploy --set inbox=URI`)",
        )


def next_windows(inbox: str, settings: InboxSettings) -> list[str]:
    """The windows of an inbox that have no verdict yet, a new one of what has arrived included.

    Call it, and judge what it gives, inside `watching`. Files that still grow, or have a name that
    programs give while they write, wait.

    Raises:
        InputError: the inbox isn't there, or its storage doesn't answer.
    """
    check_inbox(inbox)
    folder = _folder(inbox)
    settled = _fold(folder)
    files = [_File(**f) for f in _files_of(settled.values())]
    files += [_File(**f) for f in _files_of(said for _, said in _made([folder]))]
    taken = {f.place: f for f in files}
    new, present = _arrived(inbox, taken, settings)
    _forget(folder, settled, present)
    if new:
        # A number is never used again: what is kept of a window that was dissolved stays its own.
        names = (p.name.split(".")[0] for p in folder.glob("*.json"))
        numbers = [int(n) for n in names if re.fullmatch("[0-9]{6,9}", n)]
        number = max([*numbers, *settled], default=0) + 1
        said = {
            "inbox": _named(inbox),
            "number": number,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": new,
        }
        storage.write_json(folder / f"{number:06d}{WINDOW}", said)
    windows = [str(path) for path, _ in _made([folder])]
    return [w for w in windows if not _has(w, VERDICT)]


def _settled(folder: Path) -> dict[int, dict[str, Any]]:
    """{number: its line} of the settled windows of an inbox; a damaged line is passed over."""
    try:
        lines = (folder / SETTLED).read_bytes().splitlines()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return {}
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            said = json.loads(line)
            [_File(**f) for f in said["files"]]
            found[int(said["number"])] = said
        except (ValueError, TypeError, KeyError, RecursionError):
            # Its window is folded again where that is still there.
            logger.warning("%s line %d is passed over: no record", folder / SETTLED, number)
    return found


def _fold(folder: Path) -> dict[int, dict[str, Any]]:
    """Take the windows that have been settled meanwhile into settled.jsonl; what it says then."""
    settled = _settled(folder)
    new = {
        said["number"]: {"number": said["number"], "files": said["files"]}
        for path, said in _made([folder])
        if _has(str(path), VERDICT) and _has(str(path), ROUND)
    }
    if new:
        settled |= new
        _write(folder, settled)
    return settled


def _forget(folder: Path, settled: Mapping[int, Mapping[str, Any]], present: set[str]) -> None:
    """Drop the lines of windows that retention has removed and whose files have left the inbox.

    The newest stays, for its number. An inbox that is empty may be a disk that isn't mounted.
    """
    if not present or not settled:
        return
    left = {
        number: said
        for number, said in settled.items()
        if number == max(settled)
        or (folder / f"{number:06d}{WINDOW}").exists()
        or any(_absolute(f["uri"]) in present for f in said["files"])
    }
    if len(left) < len(settled):
        _write(folder, left)


def _write(folder: Path, settled: Mapping[int, Mapping[str, Any]]) -> None:
    lines = [json.dumps(said) + "\n" for _, said in sorted(settled.items())]
    storage.write_bytes(folder / SETTLED, "".join(lines).encode())


def _files_of(said: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for window in said:
        yield from window["files"]


def _folder(inbox: str) -> Path:
    return home().windows / digest(_named(inbox))[:12]


def _named(uri: str) -> str:
    return home().relative(uri) if _is_path(uri) else uri


def _absolute(name: str) -> str:
    return str(home().resolve(name)) if _is_path(name) else name


def _is_path(uri: str) -> bool:
    """Whether it is a local path; one whose name isn't UTF-8 is a URI, which stays as it is."""
    return storage.local_path(uri) is not None and not uri.startswith("file:")


@dataclass(frozen=True)
class _File:
    """A file of a window, as it was then."""

    uri: str
    """Relative to the state folder, where it lies in there."""
    bytes: int
    changed: int
    """When it was last written, in ns since 1970."""
    sha256: str

    @property
    def place(self) -> str:
        return _absolute(self.uri)

    def intact(self, state: tuple[int, int]) -> bool:
        """Whether it has the same content still; a copy's time of change may differ."""
        return state == (self.bytes, self.changed) or (
            state[0] == self.bytes and sha256(self.place) == self.sha256
        )


def _arrived(
    inbox: str, taken: Mapping[str, _File], settings: InboxSettings
) -> tuple[list[dict[str, Any]], set[str]]:
    """(The files that no window has and that no program writes any more, all that is there).

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
                if real is not None and not Path(os.path.realpath(_local(uri))).is_relative_to(
                    real
                ):
                    outside.add(uri)
                elif not why_none(uri.rpartition("/")[2]):
                    found[uri] = state
            elif not taken[uri].intact(state):
                logger.warning("%s has changed since its window was made: give new text a new "
                               "name", uri)  # fmt: skip
        return found

    outside, present = set[str](), set[str]()
    before, now = look(), time.time_ns()
    for uri in sorted(outside):
        logger.warning("%s is passed over: a link leads out of the inbox; put a copy there", uri)
    # What was written "in the future" was so before the clock was set back: it isn't written now.
    quiet = {u: s for u, s in before.items() if abs(now - s[1]) >= settings.settle_seconds * 1e9}
    if not quiet:
        return [], present
    # A program that copies the time of change along betrays itself by the size.
    time.sleep(_SECOND_LOOK)
    after = look()
    files = [
        _File(_named(uri), *state, sha256(uri))
        for uri, state in sorted(quiet.items())
        if after.get(uri) == state
    ]
    there = [asdict(f) for f in files if storage.stat(f.place) == (f.bytes, f.changed)]
    return there, present


def dissolve(window: str) -> None:
    """Give the files of a window that can't be judged yet back: they join the next one.

    Only inside `watching`, and before it has a verdict.
    """
    Path(window).unlink(missing_ok=True)


def judged(window: str, verdict: dict[str, Any]) -> None:
    """Keep the verdict on a window; last, when its alert is out."""
    said = {
        "window": window,
        "judged": datetime.now(UTC).isoformat(timespec="seconds"),
        **{k: verdict.get(k) for k in ("drift", "p_value", "effect", "drifted", "report", "why")},
        "reference": verdict.get("reference"),
    }
    if window.endswith(WINDOW):
        storage.write_json(_beside(window, VERDICT), said)
    storage.write_json(home().windows / "last.json", said)


def verdict_on(window: str) -> dict[str, Any] | None:
    """The verdict on a window of an inbox, None where there is none."""
    path = _beside(window, VERDICT)
    if not window.endswith(WINDOW) or not path.exists():
        return None
    said: dict[str, Any] = storage.read_json(path)
    return said


def last_verdict() -> dict[str, Any] | None:
    """The newest verdict on any window, None before there is one."""
    return quarantine.read(home().windows / "last.json", _Verdict.checked)


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    @classmethod
    def checked(cls, value: Any) -> dict[str, Any]:
        """The value, where it is a record of this kind.

        Raises:
            ValidationError: it is another.
        """
        cls.model_validate(value)
        return dict(value)


class _KeptFile(_Record):
    uri: str
    bytes: int
    changed: int
    sha256: str


class _Window(_Record):
    inbox: str
    number: int
    made: Instant
    files: list[_KeptFile]


class _Verdict(_Record):
    window: str
    judged: Instant
    drift: bool | None


class _Outcome(_Record):
    outcome: str


_KINDS: dict[str, type[_Record]] = {VERDICT: _Verdict, ROUND: _Outcome}


def _made(folders: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """The windows of some inboxes that aren't known as settled, and what is said of them.

    In the order of their numbers.

    A window under another number than its own, as a copy has, would take its files twice.
    """

    found = []
    paths: list[Path] = []
    for folder in folders:
        known = {f"{number:06d}{WINDOW}" for number in _settled(folder)}
        paths += sorted(p for p in folder.glob(f"*{WINDOW}") if p.name not in known)
    for path in paths:
        said = quarantine.read(path, _Window.checked)
        if said is None:
            continue
        if path.name != (name := f"{said['number']:06d}{WINDOW}"):
            quarantine.set_aside(path, f"it is {name} under another name")
            continue
        found.append((path, said))
    return found


def _has(window: str, ending: str) -> bool:
    """Whether a record about a window is there and whole."""
    return quarantine.read(_beside(window, ending), _KINDS[ending].checked) is not None


def _beside(window: str, ending: str) -> Path:
    return Path(window.removesuffix(WINDOW) + ending)
