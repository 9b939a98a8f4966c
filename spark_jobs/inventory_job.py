"""What there is to read: files, their identities, and the pieces in which they are read.

The pieces (chunks, packed into units) depend on the bytes of the input alone, so a release is the
same whatever the number of partitions, and after any number of restarts.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.infra import console, lineage, releases, storage
from headrace.infra.errors import InputError, UsageError
from headrace.spark_jobs import lock, parquet_footer
from headrace.spark_jobs.settings import CurateJob, Source

SMALLEST_UNIT = 2 << 20
LARGEST_UNIT = 16 << 20
"""A unit of work holds about a 64th of the input, within these bounds (bytes)."""
FILES_A_UNIT = 256
UNITS_A_GROUP = 8
"""Consecutive units whose records are written to one file a folder: at most 128 MB of input."""
UNPACKED = 4
"""How much a compressed file is taken to grow."""
_BLOCK = 4 << 20
_LINES = (".jsonl", ".ndjson", ".json")
_CODECS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class InputFile:
    """A file of the input."""

    uri: str
    source: str
    """What stands in the column `source`."""
    kind: str
    """lines, parquet, warc or text."""
    codec: str
    """gzip, zstd or nothing."""
    bytes: int
    sha256: str
    changed: int
    """When it was changed (ns), to notice a change between two steps."""
    error: str = ""
    """Why it can't be opened: then it counts as one unreadable record."""
    licence: str = ""
    """That of its `Source`."""

    def check(self) -> None:
        """Nothing; raises InputError where the file is no longer the one that was counted."""
        if self.error or (self.bytes, self.changed) == storage.stat(self.uri):
            return
        raise InputError(f"{self.uri} changed while it was read", "run again when it is complete")


@dataclass(frozen=True)
class Chunk:
    """A piece of a file: bytes [start, stop) of whole lines, row groups, or all of it."""

    file: int
    """Its number in `Inventory.files`."""
    start: int
    stop: int
    first: int
    """1-based position of its first record."""
    weight: int
    """About how many bytes of text it holds."""


@dataclass(frozen=True)
class Inventory:
    """What a curation reads, and where its release goes."""

    release_id: str
    release: str
    """Folder of the release."""
    work: str
    """Folder of what is needed until the release is published."""
    parent: str | None
    """Release id of the parent."""
    code_version: str
    files: tuple[InputFile, ...]
    units: tuple[tuple[Chunk, ...], ...]
    started: float
    """When this call began (seconds since 1970)."""

    @property
    def groups(self) -> int:
        """Number of groups of units."""
        return -(-len(self.units) // UNITS_A_GROUP)

    @property
    def input_bytes(self) -> int:
        """Bytes of all input files."""
        return sum(f.bytes for f in self.files)


def _kind(uri: str) -> tuple[str, str]:
    """(kind, codec) by the ending; what is not known is taken for plain text."""
    name = uri.rsplit("/", 1)[-1].lower()
    codec = next((c for end, c in _CODECS.items() if name.endswith(end)), "")
    stem = name.rsplit(".", 1)[0] if codec else name
    if stem.endswith(_LINES):
        return "lines", codec
    if stem.endswith((".warc", ".wet")):
        return "warc", codec
    if stem.endswith(".parquet") and not codec:
        return "parquet", ""
    return "text", codec


def _source_of(source: Source, uri: str) -> str:
    if source.identity is None:
        return uri
    root = storage.display(source.uri)
    below = uri[len(root) :].strip("/") if uri.startswith(f"{root}/") else ""
    return f"{source.identity}/{below}" if below else source.identity


def list_inputs(inputs: Sequence[Source]) -> list[InputFile]:
    """The files of all inputs, each once, in the order of `source`; not opened yet.

    Raises:
        InputError: an input is missing or holds no file.
        UsageError: two files have the same identity.
    """
    found: dict[str, InputFile] = {}
    for source in inputs:
        uris = storage.list_files(source.uri)
        if not uris:
            raise InputError(
                f"{storage.display(source.uri)}: no files in this folder",
                "names that begin with . or _ are passed over",
            )
        for uri in uris:
            size, changed = storage.stat(uri)
            kind, codec = _kind(uri)
            name, licence = _source_of(source, uri), source.licence
            found.setdefault(
                uri, InputFile(uri, name, kind, codec, size, "", changed, licence=licence)
            )
    files = sorted(found.values(), key=lambda f: f.source)
    for a, b in pairwise(files):
        if a.source == b.source:
            raise UsageError(
                f"{a.uri} and {b.uri} have the same identity {a.source}", "give each its own"
            )
    return files


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _cut_lines(blocks: Iterator[bytes], number: int, target: int, sha: Any) -> list[Chunk]:
    """Ranges of whole lines of at least `target` bytes each, hashing on the way."""
    chunks, start, first, line, at = [], 0, 1, 1, 0
    for block in blocks:
        sha.update(block)
        begin = 0
        while (end := block.find(b"\n", max(begin, start + target - 1 - at))) >= 0:
            line += block.count(b"\n", begin, end + 1)
            begin, stop = end + 1, at + end + 1
            chunks.append(Chunk(number, start, stop, first, stop - start))
            start, first = stop, line
        line += block.count(b"\n", begin)
        at += len(block)
    if at > start:
        chunks.append(Chunk(number, start, at, first, at - start))
    return chunks


def _row_groups(uri: str, number: int, target: int) -> list[Chunk]:
    with storage.open_input(uri) as f:
        meta = parquet_footer.metadata(f)
    chunks, start, weight, rows, first = [], 0, 0, 0, 1
    for g in range(meta.num_row_groups):
        weight += meta.row_group(g).total_byte_size
        rows += meta.row_group(g).num_rows
        if weight >= target or g == meta.num_row_groups - 1:
            chunks.append(Chunk(number, start, g + 1, first, weight))
            first, start, weight, rows = first + rows, g + 1, 0, 0
    return chunks


def survey(file: InputFile, number: int, target: int) -> tuple[InputFile, list[Chunk]]:
    """(`file` with its SHA-256, its chunks); one pass over its bytes."""
    sha = hashlib.sha256()
    size = file.bytes
    whole = [Chunk(number, 0, size, 1, size * (UNPACKED if file.codec else 1))]
    try:
        with storage.open_input(file.uri) as f:
            if file.kind == "lines" and not file.codec:
                chunks = _cut_lines(_blocks(f), number, target, sha)
            else:
                for block in _blocks(f):
                    sha.update(block)
                chunks = whole if size or file.kind == "text" else []
        if file.kind == "parquet":
            chunks = _row_groups(file.uri, number, target)
    except (OSError, pa.ArrowException) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        return replace(file, sha256=sha.hexdigest(), error=f"can't be opened: {said}"), whole
    file.check()
    return replace(file, sha256=sha.hexdigest()), chunks


def survey_all(files: Sequence[InputFile]) -> tuple[tuple[InputFile, ...], list[Chunk]]:
    """All files hashed and cut into chunks, in parallel."""
    total = sum(f.bytes for f in files)
    target = max(SMALLEST_UNIT, min(LARGEST_UNIT, total // 64))
    done: list[InputFile] = []
    chunks: list[Chunk] = []
    with (
        console.Progress("inventory", total >> 20, "MB") as progress,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        seen = 0
        for file, cut in pool.map(survey, files, range(len(files)), [target] * len(files)):
            done.append(file)
            chunks += cut
            progress.advance(((seen + file.bytes) >> 20) - (seen >> 20))
            seen += file.bytes
        progress.note = f"{len(files):,} file{'s' * (len(files) != 1)}"
    return tuple(done), chunks


def pack(chunks: Sequence[Chunk]) -> tuple[tuple[Chunk, ...], ...]:
    """Consecutive chunks put together to units of similar weight."""
    total = sum(c.weight for c in chunks)
    target = max(SMALLEST_UNIT, min(LARGEST_UNIT, total // 64))
    units: list[tuple[Chunk, ...]] = []
    unit: list[Chunk] = []
    weight = 0
    for chunk in chunks:
        if unit and (weight + chunk.weight > target * 3 // 2 or len(unit) == FILES_A_UNIT):
            units.append(tuple(unit))
            unit, weight = [], 0
        unit.append(chunk)
        weight += chunk.weight
    if unit:
        units.append(tuple(unit))
    return tuple(units)


def _parent_id(job: CurateJob) -> str | None:
    if job.parent is None:
        return None
    release_id: str = releases.manifest(job.parent)["release_id"]
    if storage.display(job.parent) != storage.join(job.output, "releases", release_id):
        raise UsageError(
            f"{storage.display(job.parent)} does not lie under {storage.display(job.output)}",
            "a child release stands beside its parent: give the parent's output",
        )
    return release_id


def take(job: CurateJob) -> Inventory:
    """The inventory of a curation; locks its release for this process unless that is finished.

    Raises:
        InputError: an input is missing, or changed while it was read.
        UsageError: the parent lies elsewhere.
    """
    started = time.time()
    parent = _parent_id(job)
    files, chunks = survey_all(list_inputs(job.inputs))
    code = lineage.code_version("spark_jobs")
    release_id = lineage.digest(
        {
            "inputs": [[f.source, f.bytes, f.sha256] for f in files],
            "config": job.config(),
            "parent": parent,
            "code": code,
        }
    )
    inventory = Inventory(
        release_id=release_id,
        release=storage.join(job.output, "releases", release_id),
        work=storage.join(job.output, ".work", release_id),
        parent=parent,
        code_version=code,
        files=files,
        units=pack(chunks),
        started=started,
    )
    if not releases.is_release(inventory.release):
        lock.hold(inventory.work)
        if releases.is_release(inventory.release):  # another process made it meanwhile
            remove_work(inventory)
        else:
            storage.write_json(storage.join(inventory.work, "inventory.json"), asdict(inventory))
    return inventory


def load(work: str) -> Inventory:
    """The inventory that `take` wrote into a work folder."""
    value = storage.read_json(storage.join(work, "inventory.json"))
    value["files"] = tuple(InputFile(**f) for f in value["files"])
    value["units"] = tuple(tuple(Chunk(**c) for c in unit) for unit in value["units"])
    return Inventory(**value)


def remove_work(inventory: Inventory) -> None:
    """Remove the work folder and let the lock go."""
    import shutil

    path = storage.local_path(inventory.work)
    if path is None:
        fs, at = storage.filesystem(inventory.work)
        fs.delete_dir(at)
    elif Path(path).exists():
        shutil.rmtree(path, ignore_errors=True)
    lock.release(inventory.work)
