"""Files by URI: local paths, `file://` and `s3://` (endpoint from AWS_ENDPOINT_URL) alike.

A local file is named by its path. Where the path is not UTF-8, which no table and no JSON can hold,
its name is a `file://` URI with the bytes percent-encoded; `local_path` takes both.

Every write is atomic: a reader sees the whole new file or the old state, also after kill -9.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat as modes
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from headrace.infra.errors import InputError, UnansweredError, UsageError
from headrace.infra.faults import naming
from headrace.infra.state import private

if TYPE_CHECKING:  # every command imports this module, and few of them need pyarrow at once
    import pyarrow as pa
    import pyarrow.fs as pafs

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")


def local_path(uri: str | Path) -> Path | None:
    """Return the absolute path of a local URI, None for s3.

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
        place = uri.removeprefix("file:")
        if place.startswith("//"):
            host, slash, path = place[2:].partition("/")
            if host not in ("", "localhost"):
                raise UsageError(f"{uri}: a host in a file URI", "write file:///path")
            place = slash + path
        # All of it is the path: a name may hold ? and #, where urllib would cut it off.
        name = os.fsdecode(urllib.parse.unquote_to_bytes(place))
        if "\0" in name or not name:
            raise UsageError(f"{uri!r} is not a path", "give a path, file:// or s3:// URI")
        return Path(os.path.abspath(name))
    if scheme and "/" in uri and uri[len(scheme[0]) :].startswith("//"):
        near = f"write s3://{uri.split('://', 1)[1]}" if scheme[1] in ("s3a", "s3n") else None
        raise UsageError(
            f"{uri}: unknown scheme {scheme[1]}", near or "use a path, file:// or s3://"
        )
    return Path(os.path.abspath(uri))


def uri_of(path: str | Path) -> str:
    """Return the name of a local file in tables and messages; `local_path` is the inverse."""
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError:
        return escaped(path)


def escaped(path: str | Path) -> str:
    """Return a local path as a `file://` URI, byte by byte."""
    return "file://" + urllib.parse.quote(os.fsencode(path))


def display(uri: str | Path) -> str:
    """`uri` as it is shown and stored: a local path absolute and without scheme (see `uri_of`)."""
    path = local_path(uri)
    return uri_of(path) if path is not None else str(uri).rstrip("/")


def join(uri: str | Path, *parts: str) -> str:
    """`uri` with path parts appended."""
    path = local_path(uri)
    if path is not None:
        return uri_of("/".join([str(path).rstrip("/"), *parts]))
    return "/".join([display(uri), *parts])


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@cache
def _s3() -> pafs.FileSystem:
    from pyarrow.fs import S3FileSystem

    region, endpoint = os.environ.get("AWS_REGION", "us-east-1"), _endpoint()
    if not endpoint:
        return S3FileSystem(region=region)
    split = urllib.parse.urlsplit(endpoint)
    return S3FileSystem(
        region=region,
        endpoint_override=split.netloc or split.path,
        scheme="http" if split.scheme == "http" else "https",
    )


def filesystem(uri: str | Path) -> tuple[pafs.FileSystem, str]:
    """(pyarrow file system, path in it) of a URI."""
    path = local_path(uri)
    if path is not None:
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem(), str(path)
    return _s3(), str(uri)[len("s3://") :].rstrip("/")


def exists(uri: str | Path) -> bool:
    """Whether there is a file or folder."""
    path = local_path(uri)
    if path is not None:
        return os.path.exists(path)
    from pyarrow.fs import FileType

    fs, at = filesystem(uri)
    return bool(fs.get_file_info(at).type != FileType.NotFound)


def size(uri: str | Path) -> int:
    """Bytes of a file; 0 where it isn't there."""
    return stat(uri)[0]


def changed(uri: str | Path) -> float:
    """When a file was last written, in seconds since 1970."""
    return stat(uri)[1] / 1e9


def open_input(uri: str | Path) -> pa.NativeFile:
    """Open a file for random reads.

    Raises:
        OSError: it isn't there, or is no regular file: opening a pipe would wait for its writer.
    """
    path = local_path(uri)
    if path is None:
        fs, at = filesystem(uri)
        return fs.open_input_file(at)
    if why := odd(path.stat().st_mode):
        raise OSError(errno.EINVAL, why)
    from pyarrow import OSFile

    # Its name in bytes may be no UTF-8; the stubs know text alone.
    return OSFile(cast(str, os.fsencode(path)), "r")


def open_binary(uri: str | Path) -> BinaryIO:
    """Open a file like `open_input`, as what the standard library calls a binary file."""
    return cast(BinaryIO, open_input(uri))


_ODD = {
    modes.S_IFDIR: "a folder",
    modes.S_IFIFO: "a named pipe",
    modes.S_IFSOCK: "a socket",
    modes.S_IFBLK: "a block device",
    modes.S_IFCHR: "a character device",
}


def odd(mode: int) -> str:
    """Return what a thing of this mode is, where it is no regular file."""
    return "" if modes.S_ISREG(mode) else _ODD.get(modes.S_IFMT(mode), "a special file")


def read_bytes(uri: str | Path) -> bytes:
    """Return the whole content of a file."""
    path = local_path(uri)
    if path is not None and not odd(path.stat().st_mode):
        return path.read_bytes()
    with open_input(uri) as f:
        return bytes(f.read())


def delete(uri: str | Path) -> None:
    """Remove a file."""
    fs, path = filesystem(uri)
    fs.delete_file(path)


def read_json(uri: str | Path) -> Any:  # noqa: ANN401 # JSON of any shape
    """Return the JSON value of a file."""
    return json.loads(read_bytes(uri))


def ask(uri: str | Path) -> pafs.FileInfo:
    """Return what the storage says of a URI.

    Raises:
        InputError: it doesn't answer.
    """
    fs, at = filesystem(uri)
    try:
        return fs.get_file_info(at)
    except OSError as error:
        raise unreadable(uri, error) from None


def ask_below(uri: str | Path) -> list[pafs.FileInfo]:
    """Return what the storage says of everything below a URI; nothing where nothing is there.

    Raises:
        InputError: it doesn't answer.
    """
    from pyarrow.fs import FileSelector

    fs, at = filesystem(uri)
    try:
        return fs.get_file_info(FileSelector(at, allow_not_found=True, recursive=True))
    except OSError as error:
        raise unreadable(uri, error) from None


def unreadable(uri: str | Path, error: OSError) -> InputError:
    """Return the error for a place that can't be read: the cause, and what to do about it.

    An UnansweredError where the place itself may be right: the storage is away, or refuses the keys
    that it is shown.
    """
    said = (str(error).splitlines() or ["no answer"])[0]
    if local_path(uri) is not None:
        cause = os.strerror(error.errno) if error.errno else said
        hint = _LOCAL.get(error.errno or 0, "check the path, and the disk that it is on")
        kind = UnansweredError if error.errno in _AWAY else InputError
        return kind(f"{display(uri)}: {cause}", hint)
    for part, hint in _REMOTE:
        if part in str(error):
            kind = InputError if part == _NO_BUCKET else UnansweredError
            return kind(f"{display(uri)}: {said}", hint)
    return UnansweredError(f"{display(uri)}: {said}", _ENDPOINT if _endpoint() else _NO_ENDPOINT)


_LOCAL = {
    errno.EACCES: "let this user read it (chmod, or run as its owner)",
    errno.EPERM: "let this user read it (chmod, or run as its owner)",
    errno.ELOOP: "its links form a cycle: give the file or folder itself",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EIO: "the disk fails: check it, or give a copy",
    errno.ESTALE: "its network disk is gone: mount it again",
}
_AWAY = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.ENODEV, errno.ENXIO),
)
"""What a disk says that is gone for now."""
_NO_BUCKET = "NO_SUCH_BUCKET"
_ENDPOINT = "check AWS_ENDPOINT_URL and the network; `headrace doctor` tries the endpoint"
_NO_ENDPOINT = (
    "check the network and AWS_REGION; storage that isn't Amazon's needs AWS_ENDPOINT_URL"
)
_REMOTE = (
    ("ACCESS_DENIED", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and their rights here"),
    ("INVALID_ACCESS_KEY", "check AWS_ACCESS_KEY_ID"),
    ("SIGNATURE", "check AWS_SECRET_ACCESS_KEY"),
    (_NO_BUCKET, "check the name of the bucket"),
)
"""Part of the S3 client's message, and what to do."""


def stat(uri: str | Path) -> tuple[int, int]:
    """(bytes, time of the last change in ns since 1970) of a file; zeros where it isn't there.

    Raises:
        InputError: the storage doesn't answer.
    """
    path = local_path(uri)
    if path is None:
        known = ask(uri)
        return int(known.size or 0), int(known.mtime_ns or 0)
    try:
        info = path.stat()
    except OSError:
        return 0, 0
    return (info.st_size if modes.S_ISREG(info.st_mode) else 0), info.st_mtime_ns


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


def write_private(path: Path, value: object) -> None:
    """Write a JSON value into a local file that only its owner can read, from the beginning."""
    write_private_text(path, json.dumps(value))


def write_private_text(path: Path, text: str) -> None:
    """Write a local file that only its owner can read, from the beginning."""
    with naming(path), _beside(path) as temporary:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(text)
        _rename(temporary, path)


def make_private_text(path: Path, text: str) -> None:
    """`write_private_text` where there is no file yet; another process's, made meanwhile, stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_private_text(temporary, text)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


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
    """Yield a free name in the folder of `path`, which is made; what is left there goes."""
    private.make_folder(path.parent)
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
    with naming(path), path.open("ab+", buffering=0) as f:
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


def write_json(uri: str | Path, value: object) -> None:
    """Write a JSON value atomically, keys in order, one line an item of the outermost level."""
    write_bytes(uri, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished local file or folder into place, durably: its data first, then its name.

    A name that outlives a power cut without the data would be an empty file that counts as done.
    Who may read it is what its place asks for (private.settle).
    """
    private.settle(temporary, path)
    _rename(temporary, path)


def _rename(temporary: Path, path: Path) -> None:
    sync(temporary)
    temporary.replace(path)
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
            private.make_folder(path.parent)
            publish(local, path)
        return
    fs, at = filesystem(uri)
    source: BinaryIO
    with local.open("rb") as source, fs.open_output_stream(at) as f:
        while block := source.read(1 << 20):
            f.write(block)
