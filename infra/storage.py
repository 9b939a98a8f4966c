"""Files by URI: local paths, `file://` and `s3://` (endpoint from AWS_ENDPOINT_URL) alike.

Every write is atomic: a reader sees the whole new file or the old state, also after kill -9.
"""

from __future__ import annotations

import glob
import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from headrace.infra.errors import InputError, UsageError
from headrace.infra.faults import naming

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")


def local_path(uri: str | Path) -> Path | None:
    """The absolute path of a local URI, None for s3.

    Raises:
        UsageError: a scheme that headrace does not read.
    """
    uri = str(uri)
    if "\0" in uri or not uri:
        raise UsageError(f"{uri!r} is not a path", "give a path, file:// or s3:// URI")
    scheme = _SCHEME.match(uri)
    if uri.startswith("s3://"):
        return None
    if uri.startswith("file:"):
        parts = urllib.parse.urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{uri}: a host in a file URI", "write file:///path")
        return Path(os.path.normpath(urllib.parse.unquote(parts.path)))
    if scheme and "/" in uri and uri[len(scheme[0]) :].startswith("//"):
        raise UsageError(f"{uri}: unknown scheme {scheme[1]}", "use a path, file:// or s3://")
    return Path(os.path.abspath(uri))


def display(uri: str | Path) -> str:
    """`uri` as it is shown and stored: a local path absolute and without scheme."""
    path = local_path(uri)
    return str(path) if path is not None else str(uri).rstrip("/")


def join(uri: str | Path, *parts: str) -> str:
    """`uri` with path parts appended."""
    return "/".join([display(uri).rstrip("/"), *parts])


@cache
def _s3() -> pafs.FileSystem:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"region": os.environ.get("AWS_REGION", "us-east-1")}
    if endpoint:
        split = urllib.parse.urlsplit(endpoint)
        options |= {
            "endpoint_override": split.netloc or split.path,
            "scheme": split.scheme or "https",
        }
    return pafs.S3FileSystem(**options)


def filesystem(uri: str | Path) -> tuple[pafs.FileSystem, str]:
    """(pyarrow file system, path in it) of a URI."""
    path = local_path(uri)
    if path is not None:
        return pafs.LocalFileSystem(), str(path)
    return _s3(), str(uri)[len("s3://") :].rstrip("/")


def exists(uri: str | Path) -> bool:
    """Whether there is a file or folder."""
    fs, path = filesystem(uri)
    return bool(fs.get_file_info(path).type != pafs.FileType.NotFound)


def size(uri: str | Path) -> int:
    """Bytes of a file."""
    fs, path = filesystem(uri)
    return int(fs.get_file_info(path).size or 0)


def changed(uri: str | Path) -> float:
    """When a file was last written, in seconds since 1970."""
    fs, path = filesystem(uri)
    return (fs.get_file_info(path).mtime_ns or 0) / 1e9


def open_input(uri: str | Path) -> Any:
    """A file for random reads (pyarrow NativeFile)."""
    fs, path = filesystem(uri)
    return fs.open_input_file(path)


def read_bytes(uri: str | Path) -> bytes:
    """The whole content of a file."""
    with open_input(uri) as f:
        return bytes(f.read())


def delete(uri: str | Path) -> None:
    """Remove a file."""
    fs, path = filesystem(uri)
    fs.delete_file(path)


def read_json(uri: str | Path) -> Any:
    """The JSON value of a file."""
    return json.loads(read_bytes(uri))


def list_files(uri: str | Path) -> list[str]:
    """All files below a folder, sorted, without hidden ones (`.`, `_` first); a file gives itself.

    Globs (`*`, `?`, `[`) of local paths are expanded.

    Raises:
        InputError: nothing is there.
    """
    path = local_path(uri)
    if path is not None and not path.exists() and glob.has_magic(str(path)):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise InputError(f"{path}: no file matches", "check the pattern")
        return [f for g in found for f in list_files(g)]
    info = _look(uri)
    if info.type == pafs.FileType.NotFound:
        raise InputError(f"{display(uri)}: no such file or folder", "check the path")
    if info.type == pafs.FileType.File:
        return [display(uri)]
    return sorted(f for f, _, _ in listing(uri))


def _look(uri: str | Path, what: pafs.FileSelector | None = None) -> Any:
    """What the file system says of a URI, or of `what` there."""
    fs, at = filesystem(uri)
    try:
        return fs.get_file_info(what or at)
    except OSError as error:
        first = (str(error).splitlines() or ["no answer"])[0]
        raise InputError(
            f"{display(uri)}: {first}",
            "check AWS_ENDPOINT_URL and the keys; `headrace doctor` tries the endpoint",
        ) from None


def stat(uri: str | Path) -> tuple[int, int]:
    """(bytes, time of the last change in ns since 1970) of a file; zeros where it isn't there.

    Raises:
        InputError: the storage doesn't answer.
    """
    info = _look(uri)
    return int(info.size or 0), int(info.mtime_ns or 0)


def listing(uri: str | Path) -> list[tuple[str, int, int]]:
    """(URI, bytes, time of the last change in ns since 1970) of all files below a folder.

    Hidden ones (`.`, `_` first) are left out; a folder that isn't there holds none.

    Raises:
        InputError: the storage doesn't answer.
    """
    _, at = filesystem(uri)
    prefix = "" if local_path(uri) is not None else "s3://"
    below = _look(uri, pafs.FileSelector(at, allow_not_found=True, recursive=True))
    return [
        (prefix + f.path, int(f.size or 0), int(f.mtime_ns or 0))
        for f in below
        if f.type == pafs.FileType.File
        and not any(x[:1] in "._" for x in f.path[len(at) :].strip("/").split("/"))
    ]


def writable_folder(uri: str | Path) -> str:
    """`uri` as it is shown, where a folder is there that can be written to, or can be made.

    Raises:
        UsageError: a local path with a file in its way, or without permission to write.
    """
    path = local_path(uri)
    if path is not None:
        there = next(p for p in (path, *path.parents) if p.exists() or p.is_symlink())
        if not there.is_dir():
            raise UsageError(
                f"{path}: {there} is a file, and a folder is needed", "give another --output"
            )
        if not os.access(there, os.W_OK | os.X_OK):
            read_only = os.statvfs(there).f_flag & os.ST_RDONLY
            why = "is on a read-only file system" if read_only else "can't be written to"
            raise UsageError(f"{path}: {there} {why}", "give another --output")
    return display(uri)


def write_private(path: Path, value: Any) -> None:
    """Write a JSON value into a local file that only its owner can read, from the beginning."""
    with naming(path), _beside(path) as temporary:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            json.dump(value, f)
        publish(temporary, path)


def write_bytes(uri: str | Path, data: bytes) -> None:
    """Write a file atomically and durably."""
    path = local_path(uri)
    if path is None:
        fs, at = filesystem(uri)
        with fs.open_output_stream(at) as f:
            f.write(data)
        return
    with naming(path), _beside(path) as temporary:
        temporary.write_bytes(data)
        publish(temporary, path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A free name in the folder of `path`, which is made; what is left there goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a local file and sync it; a torn last one, never committed, goes.

    Where it can't be written whole nothing of it stays: the caller reports that it was not done.
    """
    new = not path.exists()
    with naming(path), open(path, "ab+", buffering=0) as f:
        f.seek(0)
        end = f.read().rfind(b"\n") + 1
        f.truncate(end)
        try:
            left = memoryview(line + b"\n")
            while left:
                left = left[f.write(left) :]
            os.fsync(f.fileno())
        except OSError:
            f.truncate(end)
            raise
    if new:
        # Or the file's name may be lost with the power, and all of the line with it.
        sync_folder(path.parent)


def write_json(uri: str | Path, value: Any) -> None:
    """Write a JSON value atomically, keys in order, one line an item of the outermost level."""
    write_bytes(uri, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished local file or folder into place, durably: its data first, then its name.

    A name that outlives a power cut without the data would be an empty file that counts as done.
    """
    sync(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync(path: Path) -> None:
    """Make the data of a local file durable, or of all files below a folder."""
    if path.is_dir():
        for below in path.iterdir():
            sync(below)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make the names in a local folder durable, or the data of a file."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def copy_out(local: Path, uri: str | Path) -> None:
    """Put a finished local file where `uri` says (a rename where both are local)."""
    path = local_path(uri)
    if path is not None:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            publish(local, path)
        return
    fs, at = filesystem(uri)
    source: BinaryIO
    with open(local, "rb") as source, fs.open_output_stream(at) as f:
        while block := source.read(1 << 20):
            f.write(block)
