"""What lies below a folder: every file once, whatever links lead round in circles.

Nothing is opened. What is no regular file (a dangling link, a pipe, a folder that can't be listed)
comes with the reason; what is left out (hidden files, what a rule excludes, what a link reaches a
second time) is listed with the reason too. The order is that of names, on every machine.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from headrace.infra import storage
from headrace.infra.errors import InputError


@dataclass(frozen=True)
class Entry:
    """A file, or what stands where a file should be."""

    uri: str
    bytes: int
    changed: int
    """When it was last changed, in ns since 1970."""
    error: str = ""
    """Why it can't be a file: "a dangling link", say."""


@dataclass(frozen=True)
class LeftOut:
    """Something that was passed over: a file, or a folder with all that is in it."""

    uri: str
    why: str


@dataclass
class Found:
    """What a walk has found, in the order of URIs."""

    files: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


Rule = Callable[[str, frozenset[str] | None], str]
"""Why something is left out, "" where it isn't; given its URI, and of a folder the names in it."""


def everything(_uri: str, _names: frozenset[str] | None) -> str:
    """Return the rule that leaves nothing out."""
    return ""


def expand(uri: str | Path) -> list[str]:
    """Return the files and folders that a URI means: itself, or what a local glob matches, sorted.

    Raises:
        InputError: nothing is there.
    """
    path = storage.local_path(uri)
    if path is None:
        there = storage.ask(uri).type.name != "NotFound"
    else:
        there = os.path.lexists(path)
        if not there and glob.has_magic(str(path)):
            if found := sorted(glob.glob(str(path), recursive=True)):
                return list(map(storage.uri_of, found))
            raise InputError(f"{storage.uri_of(path)}: no file matches", "check the pattern")
    if not there:
        raise InputError(f"{storage.display(uri)}: no such file or folder", "check the path")
    return [storage.display(uri)]


def is_folder(uri: str) -> bool:
    """Whether it is a folder, or a link to one."""
    path = storage.local_path(uri)
    if path is None:
        return bool(storage.ask(uri).type.name == "Directory")
    return os.path.isdir(path)


def look(uri: str) -> Entry:
    """One file as it stands."""
    path = storage.local_path(uri)
    return Entry(uri, *storage.stat(uri)) if path is None else _entry(str(path))[0]


def walk(uri: str | Path, rule: Rule = everything) -> Found:
    """All files below a folder; a folder that isn't there holds none.

    Links are followed after all else, so that a file with its own name in there is known by that
    one.

    Raises:
        InputError: the storage doesn't answer.
    """
    path = storage.local_path(uri)
    found = _on_s3(str(uri), rule) if path is None else _Local(rule).walk(str(path))
    found.files.sort(key=lambda e: e.uri)
    found.left_out.sort(key=lambda x: x.uri)
    return found


def list_files(uri: str | Path) -> list[str]:
    """All files below a folder, sorted, without hidden ones (`.`, `_` first); a file gives itself.

    Globs (`*`, `?`, `[`) of local paths are expanded.

    Raises:
        InputError: nothing is there.
    """
    found = []
    for place in expand(uri):
        found += sorted(f for f, _, _ in listing(place)) if is_folder(place) else [place]
    return found


def listing(uri: str | Path) -> list[tuple[str, int, int]]:
    """(URI, bytes, time of the last change in ns since 1970) of all files below a folder.

    Hidden ones (`.`, `_` first) are left out, and what is no regular file; a folder that isn't
    there holds none.

    Raises:
        InputError: the storage doesn't answer.
    """
    return [(e.uri, e.bytes, e.changed) for e in walk(uri).files if not e.error]


def _hidden(name: str) -> bool:
    return name[:1] in (".", "_")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


_Identity = tuple[int, int]
"""Device and inode."""


def _entry(path: str) -> tuple[Entry, _Identity | None]:
    """Return (What is at a path, its identity where it is a file)."""
    uri = storage.uri_of(path)
    try:
        info = os.stat(path)
    except OSError as error:
        if not os.path.islink(path):
            return Entry(uri, 0, 0, f"can't be opened: {_reason(error)}"), None
        gone = isinstance(error, FileNotFoundError)
        return Entry(uri, 0, 0, "a dangling link" if gone else f"a link: {_reason(error)}"), None
    if what := storage.odd(info.st_mode):
        return Entry(uri, 0, info.st_mtime_ns, f"{what}, not a file"), None
    return Entry(uri, info.st_size, info.st_mtime_ns), (info.st_dev, info.st_ino)


def _is_dir(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return False  # what it is shows when it is opened


class _Local:
    """A walk through a local folder."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.found = Found()
        self.seen: dict[_Identity, str] = {}
        """The URI by which each file or folder was reached first."""
        self.links: list[str] = []

    def walk(self, root: str) -> Found:
        """Return what lies below `root`."""
        self._folders(root, everything)
        while self.links:
            links, self.links = sorted(self.links), []
            for link in links:
                if os.path.isdir(link):
                    self._folders(link, self.rule)
                else:
                    self._file(link, is_link=True)
        return self.found

    def _leave(self, path: str, why: str) -> None:
        self.found.left_out.append(LeftOut(storage.uri_of(path), why))

    def _file(self, path: str, is_link: bool = False) -> None:
        entry, identity = _entry(path)
        if why := self.rule(entry.uri, None):
            self._leave(path, why)
        elif identity and is_link and identity in self.seen:
            self._leave(path, _SAME.format(self.seen[identity]))
        else:
            self.found.files.append(entry)
            if identity:
                self.seen.setdefault(identity, entry.uri)

    def _folders(self, top: str, rule: Rule) -> None:
        """Return a folder and those in it; `rule` is that of `top`."""
        stack = [top]  # Python's own stack is too short for some trees
        while stack:
            folder = stack.pop()
            uri = storage.uri_of(folder)
            try:
                info = os.stat(folder)
                items = sorted(os.scandir(folder), key=lambda i: i.name)
            except FileNotFoundError:
                continue  # removed meanwhile, or never there
            except OSError as error:
                why = f"a folder that can't be listed: {_reason(error)}"
                self.found.files.append(Entry(uri, 0, 0, why))
                continue
            identity = (info.st_dev, info.st_ino)
            if why := rule(uri, frozenset(i.name for i in items)):
                self._leave(folder, why)
            elif identity in self.seen:
                self._leave(folder, _SAME.format(self.seen[identity]))
            else:
                self.seen[identity] = uri
                stack += self._items(items)[::-1]
            rule = self.rule

    def _items(self, items: Iterable[os.DirEntry[str]]) -> list[str]:
        """Return the folders among the items of a folder; files and links are noted."""
        below = []
        for item in items:
            if _hidden(item.name):
                self._leave(item.path, "hidden")
            elif item.is_symlink():
                self.links.append(item.path)
            elif _is_dir(item):
                below.append(item.path)
            else:
                self._file(item.path)
        return below


_SAME = "the same as {}, which is read"


def _on_s3(uri: str, rule: Rule) -> Found:
    _, at = storage.filesystem(uri)
    below = [f for f in storage.ask_below(uri) if f.type.name == "File"]
    names: dict[str, set[str]] = {}
    for f in below:
        path = f.path
        while len(path) > len(at) and "/" in path:
            path, _, name = path.rpartition("/")
            names.setdefault(path, set()).add(name)
    found = Found()
    out: dict[str, str] = {}

    def why(path: str) -> str:
        """Why a folder is left out, itself or with one above it."""
        if path not in out:
            above = path.rpartition("/")[0]
            out[path] = "" if path == at else why(above)
            if path != at and not out[path]:
                hidden = "hidden" if _hidden(path.rpartition("/")[2]) else ""
                out[path] = hidden or rule(f"s3://{path}", frozenset(names[path]))
                if out[path]:
                    found.left_out.append(LeftOut(f"s3://{path}", out[path]))
        return out[path]

    for f in below:
        folder, _, name = f.path.rpartition("/")
        if why(folder):
            continue
        entry = Entry(f"s3://{f.path}", int(f.size or 0), int(f.mtime_ns or 0))
        reason = "hidden" if _hidden(name) else rule(entry.uri, None)
        if reason:
            found.left_out.append(LeftOut(entry.uri, reason))
        else:
            found.files.append(entry)
    return found
