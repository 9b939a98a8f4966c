"""Files by URI: local paths, `file://` and `s3://` (endpoint from AWS_ENDPOINT_URL) alike.

Every write is atomic: a reader sees the whole new file or the old state, also after kill -9.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import urllib.parse
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from headrace.infra.errors import InputError, UsageError

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
        near = f"write s3://{uri.split('://', 1)[1]}" if scheme[1] in ("s3a", "s3n") else None
        raise UsageError(
            f"{uri}: unknown scheme {scheme[1]}", near or "use a path, file:// or s3://"
        )
    return Path(os.path.abspath(uri))


def display(uri: str | Path) -> str:
    """`uri` as it is shown and stored: a local path absolute and without scheme."""
    path = local_path(uri)
    return str(path) if path is not None else str(uri).rstrip("/")


def join(uri: str | Path, *parts: str) -> str:
    """`uri` with path parts appended."""
    return "/".join([display(uri).rstrip("/"), *parts])


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@cache
def _s3() -> pafs.FileSystem:
    endpoint = _endpoint()
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
    if path is not None and glob.has_magic(str(path)) and not path.exists():
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
        raise unreadable(uri, error) from None


def unreadable(uri: str | Path, error: OSError) -> InputError:
    """What is said of a place that can't be read: the cause, and what to do in this very case."""
    said = (str(error).splitlines() or ["no answer"])[0]
    if local_path(uri) is not None:
        cause = os.strerror(error.errno) if error.errno else said
        hint = _LOCAL.get(error.errno or 0, "check the path, and the disk that it is on")
        return InputError(f"{display(uri)}: {cause}", hint)
    for part, hint in _REMOTE:
        if part in str(error):
            return InputError(f"{display(uri)}: {said}", hint)
    return InputError(f"{display(uri)}: {said}", _ENDPOINT if _endpoint() else _NO_ENDPOINT)


_LOCAL = {
    errno.EACCES: "let this user read it (chmod, or run as its owner)",
    errno.EPERM: "let this user read it (chmod, or run as its owner)",
    errno.ELOOP: "its links lead round in a circle: give the file or folder itself",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EIO: "the disk fails: check it, or give a copy",
    errno.ESTALE: "its network disk has gone: mount it again",
}
_ENDPOINT = "check AWS_ENDPOINT_URL and the network; `headrace doctor` tries the endpoint"
_NO_ENDPOINT = (
    "check the network and AWS_REGION; storage that isn't Amazon's needs AWS_ENDPOINT_URL"
)
_REMOTE = (
    ("ACCESS_DENIED", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and their rights here"),
    ("INVALID_ACCESS_KEY", "check AWS_ACCESS_KEY_ID"),
    ("SIGNATURE", "check AWS_SECRET_ACCESS_KEY"),
    ("NO_SUCH_BUCKET", "check the name of the bucket"),
)
"""Part of the S3 client's message, and what to do."""


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


def write_private(path: Path, value: Any) -> None:
    """Write a JSON value into a local file that only its owner can read, from the beginning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        json.dump(value, f)
        f.flush()
        os.fsync(f.fileno())
    publish(temporary, path)


def write_bytes(uri: str | Path, data: bytes) -> None:
    """Write a file atomically and durably."""
    path = local_path(uri)
    if path is None:
        fs, at = filesystem(uri)
        with fs.open_output_stream(at) as f:
            f.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    publish(temporary, path)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a local file and sync it; a torn last one, never committed, goes."""
    new = not path.exists()
    with open(path, "ab+") as f:
        f.seek(0)
        f.truncate(f.read().rfind(b"\n") + 1)
        f.write(line + b"\n")
        f.flush()
        os.fsync(f.fileno())
    if new:
        # Or the file's name may be lost with the power, and all of the line with it.
        sync_folder(path.parent)


def write_json(uri: str | Path, value: Any) -> None:
    """Write a JSON value atomically, keys in order, one line an item of the outermost level."""
    write_bytes(uri, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished local file into place and make the rename durable."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a local folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def copy_out(local: Path, uri: str | Path) -> None:
    """Put a finished local file where `uri` says (a rename where both are local)."""
    path = local_path(uri)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(local, path)
        return
    fs, at = filesystem(uri)
    source: BinaryIO
    with open(local, "rb") as source, fs.open_output_stream(at) as f:
        while block := source.read(1 << 20):
            f.write(block)
