"""Windows: new text that is compared and taught as a whole, and the files that it is read from."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from headrace.infra import releases, storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import GoneError, InputError, UsageError
from headrace.infra.files.quarantine import Instant
from headrace.infra.lineage import sha256
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.settings import Source
from headrace.tasks.retraining.records import Record, absolute, is_of_inbox, relative


class WindowFile(Record):
    """A file of an inbox's window, as it was when the window was made."""

    uri: str
    """Relative to the state folder, where it lies inside."""
    bytes: int
    changed: int
    """When it was last written, in ns since 1970."""
    sha256: str

    @property
    def place(self) -> str:
        """Where it lies."""
        return absolute(self.uri)

    def is_intact(self, state: tuple[int, int]) -> bool:
        """Whether it still has the same content; a copy's time of change may differ."""
        return state == (self.bytes, self.changed) or (
            state[0] == self.bytes and sha256(self.place) == self.sha256
        )


class InboxWindow(Record):
    """The record of an inbox's window."""

    inbox: str
    number: int
    made: Instant
    files: tuple[WindowFile, ...] = Field(strict=False)

    @property
    def place(self) -> str:
        """Where the inbox is."""
        return absolute(self.inbox)


class Window(Settings):
    """New text that is compared and taught as a whole; several windows may be taught at once."""

    names: tuple[str, ...] = ()
    """URIs of text, of a release, or of records of inboxes' windows."""
    inputs: tuple[Source, ...] = ()
    """Text of pinned packages, which names its identity."""

    @classmethod
    def of(cls, *names: str) -> Window:
        """Return the window that these names stand for."""
        return cls(names=names)

    @property
    def parts(self) -> list[str]:
        """What to call each of the windows in it."""
        return [*self.names, *(s.identity or s.uri for s in self.inputs)]

    @property
    def single(self) -> str | None:
        """Its name, None where it is several windows or the text of packages."""
        return self.names[0] if len(self.names) == 1 and not self.inputs else None

    @property
    def release(self) -> str | None:
        """The release that it is, None where it is raw text."""
        return self.single if self.single and releases.is_release(self.single) else None

    def sources(self) -> tuple[Source, ...]:
        """Return what is read for it: files of an inbox, or the documents of a release.

        Raises:
            InputError: the record of an inbox's window isn't there or is none, or the inbox
                doesn't answer.
            GoneError: text of it has gone or changed since.
        """
        return (*self.inputs, *(s for name in self.names for s in _sources(name)))


def _sources(name: str) -> tuple[Source, ...]:
    if releases.is_release(name):
        return (Source(uri=storage.join(name, "documents")),)
    if not is_of_inbox(name):
        return (Source(uri=name),)
    window = _read(name)
    for file in window.files:
        if not file.is_intact(storage.stat(file.place)):
            inbox = window.place
            if not inbox.startswith("s3://") and not storage.exists(inbox):
                raise InputError(f"{inbox}: no such folder", "is its disk mounted?")
            raise GoneError(
                f"{file.place} was removed or changed since the window {name} was made from it",
                "give new text a new name; the window can be used again with its old content",
            )
    return tuple(Source(uri=file.place) for file in window.files)


def _read(name: str) -> InboxWindow:
    """Read the record of an inbox's window.

    Only this state folder's own records are read: a file of that name elsewhere could list any
    text.

    Raises:
        InputError: it isn't there or is none.
    """
    try:
        own = os.path.realpath(home().windows)
        if not Path(os.path.realpath(local(name))).is_relative_to(own):
            raise ValueError("it lies elsewhere")
        return InboxWindow.model_validate(storage.read_json(name))
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"{name}: no window of an inbox", "`headrace monitor --inbox URI` makes them"
        ) from None


def local(uri: str) -> Path:
    """Return the local path of a URI.

    Raises:
        ValueError: it has none.
    """
    path = storage.local_path(uri)
    if path is None:
        raise ValueError("no local path")
    return path


def files_read(text: str) -> list[str]:
    """Return the files that are read for a window or a release, as far as links can lead elsewhere.

    Empty for text on S3, which has no links.

    Raises:
        InputError: something of it isn't there.
        UsageError: it is a release whose manifest is damaged.
    """
    from headrace.spark_jobs.curate.inventory_job import list_inputs

    if storage.local_path(text) is None:
        return []
    sources = _sources(text)
    files = [s.uri for s in sources if storage.local_path(s.uri) is None]
    if on_disk := [s for s in sources if storage.local_path(s.uri) is not None]:
        files += [f.uri for f in list_inputs(on_disk)]
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
    """Raise unless the window or reference exists and looks readable.

    Raises:
        InputError: something of it isn't there.
    """
    from headrace.spark_jobs.curate.inventory_job import list_inputs

    if releases.is_release(text):
        releases.lineage(text)
    else:
        list_inputs(_sources(text))


def is_there(text: str) -> bool:
    """Whether `check_there` raises nothing."""
    try:
        check_there(text)
    except InputError:
        return False
    return True


def file_of(uri: str, state: tuple[int, int]) -> WindowFile:
    """Return a file as it is now: its size and time of change, and the hash of its content."""
    return WindowFile(uri=relative(uri), bytes=state[0], changed=state[1], sha256=sha256(uri))
