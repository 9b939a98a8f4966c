"""What there is to read: files, their identities, and the pieces in which they are read.

The pieces (chunks, packed into units) depend on the bytes of the input alone, so a release is the
same whatever the number of partitions, and after any number of restarts.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import pyarrow as pa

from headrace.infra import console, lineage, releases, storage
from headrace.infra.errors import InputError, UsageError
from headrace.infra.files.walk import LeftOut
from headrace.infra.state import lock
from headrace.spark_jobs.inputs import Chunk, InputFile
from headrace.spark_jobs.reading import content, parquet_footer
from headrace.spark_jobs.reading.input_files import gather
from headrace.spark_jobs.settings import CurateJob, Source

SMALLEST_UNIT = 2 << 20
LARGEST_UNIT = 16 << 20
"""A unit of work holds about a 64th of the input, within these bounds (bytes)."""
FILES_A_UNIT = 256
UNITS_A_GROUP = 8
"""Consecutive units whose records are written to one file per folder: at most 128 MB of input."""
_BLOCK = 4 << 20


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
    left_out: tuple[LeftOut, ...]
    """What lies beside them in the same folders and is no input."""
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


def _source_of(source: Source, uri: str) -> str:
    if source.identity is None:
        return uri
    root, path = storage.display(source.uri), storage.local_path(uri)
    if path is not None and uri.startswith("file:"):  # a name that isn't UTF-8: by its bytes
        root = storage.escaped(storage.local_path(source.uri) or "")
    below = uri[len(root) :].strip("/") if uri.startswith(f"{root}/") else ""
    return f"{source.identity}/{below}" if below else source.identity


def find_inputs(
    inputs: Sequence[Source], output: str | None = None
) -> tuple[list[InputFile], list[LeftOut]]:
    """Return the files of all inputs, each once, in the order of `source`, and what is left out.

    No file is opened yet.

    Args:
        inputs: of a job.
        output: where the job writes, which is no input.

    Raises:
        InputError: an input is missing or holds no file.
        UsageError: two files have the same identity.
    """
    found, out = gather(inputs, output)
    if not found:
        named = "; ".join(f"{x.uri}: {x.why}" for x in out[:NAMED])
        raise InputError(
            f"{', '.join(storage.display(s.uri) for s in inputs)}: no files to read"
            + (f"; left out: {named}{more(len(out))}" if out else ""),
            "hidden names (. or _ first) and files that only accompany data are passed over, "
            "unless --input names the file itself",
        )
    files = []
    for uri, (source, entry) in found.items():
        kind, codec = content.named(uri.rsplit("/", 1)[-1])
        files.append(
            InputFile(
                uri,
                _source_of(source, uri),
                kind,
                codec,
                entry.bytes,
                _NO_BYTES,
                entry.changed,
                entry.error,
                source.licence,
            )
        )
    files.sort(key=lambda f: f.source)
    for a, b in pairwise(files):
        if a.source == b.source:
            raise UsageError(
                f"{a.uri} and {b.uri} have the same identity {a.source}", "give each its own"
            )
    return files, out


def list_inputs(inputs: Sequence[Source]) -> list[InputFile]:
    """`find_inputs` without what is left out."""
    return find_inputs(inputs)[0]


NAMED = 5
"""Files that a message names; of the others it says how many there are."""
_NO_BYTES = hashlib.sha256().hexdigest()


def more(n: int) -> str:
    """How many of `n` things a message doesn't name."""
    return f"; and {n - NAMED:,} more" if n > NAMED else ""


def _cut_lines(
    blocks: Iterable[bytes], number: int, target: int, end: bytes = b"\n"
) -> list[Chunk]:
    """Ranges of whole lines of at least `target` bytes each."""
    chunks, start, first, line, at = [], 0, 1, 1, 0
    for block in blocks:
        begin = 0
        while (stop := block.find(end, max(begin, start + target - 1 - at))) >= 0:
            line += block.count(end, begin, stop + 1)
            begin, stop = stop + 1, at + stop + 1
            chunks.append(Chunk(number, start, stop, first, stop - start))
            start, first = stop, line
        line += block.count(end, begin)
        at += len(block)
    if at > start:
        chunks.append(Chunk(number, start, at, first, at - start))
    return chunks


def _row_groups(uri: str, number: int, target: int) -> list[Chunk]:
    with storage.open_binary(uri) as f:
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
    """(`file` with its SHA-256 and what it is, its chunks); one pass over its bytes."""
    if file.error:
        return file, [Chunk(number, 0, 0, 1, 0)]
    sha = hashlib.sha256()

    def blocks(f: pa.NativeFile, head: bytes) -> Iterator[bytes]:
        for block in chain([head] if head else [], iter(lambda: f.read(_BLOCK), b"")):
            sha.update(block)
            yield block

    try:
        with storage.open_input(file.uri) as f:
            head = bytes(f.read(content.HEAD))
            is_ = content.examine(file.uri.rsplit("/", 1)[-1], head, len(head) == file.bytes)
            file = replace(file, **vars(is_))
            if file.kind == "lines" and not (file.codec or file.encoding or file.error):
                chunks = _cut_lines(blocks(f, head), number, target, file.ending.encode())
            else:
                for _ in blocks(f, head):
                    pass
                empty = not (file.bytes or file.kind == "text" or file.error)
                chunks = [] if empty else [Chunk(number, 0, file.bytes, 1, file.weight)]
        if file.kind == "parquet" and not file.error:
            chunks = _row_groups(file.uri, number, target)
    except (OSError, pa.ArrowException) as error:
        file = replace(file, sha256=sha.hexdigest(), error=f"can't be opened: {_reason(error)}")
        return file, [Chunk(number, 0, file.bytes, 1, file.weight)]
    file.check()
    return replace(file, sha256=sha.hexdigest()), chunks


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return (str(error).splitlines() or [type(error).__name__])[0]


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
            f"{storage.display(job.parent)} is not under {storage.display(job.output)}",
            "a child release is written beside its parent: give the parent's output",
        )
    return release_id


def announce(files: Sequence[InputFile], left_out: Sequence[LeftOut]) -> None:
    """Say which files can't be read, are not what their names say, or are left out."""
    for title, rows in (
        ("can't be read", [(f.source, f.error) for f in files if f.error]),
        ("note", [(f.source, f.note) for f in files if f.note and not f.error]),
        ("left out", [(x.uri, x.why) for x in left_out]),
    ):
        for name, why in rows[:NAMED]:
            console.say(f"inventory: {title}: {name}: {why}")
        if len(rows) > NAMED:
            console.say(f"inventory: {title}: {len(rows) - NAMED:,} more files")


def take(job: CurateJob) -> Inventory:
    """Take the inventory of a curation; lock its release for this process unless it is finished.

    Raises:
        InputError: an input is missing, or changed while it was read.
        UsageError: the parent lies elsewhere, or the output has a name that isn't UTF-8.
    """
    started = time.time()
    if storage.display(job.output).startswith("file:"):
        raise UsageError(
            f"{storage.display(job.output)}: an output's name must be UTF-8",
            "give another --output",
        )
    parent = _parent_id(job)
    found, left_out = find_inputs(job.inputs, job.output)
    files, chunks = survey_all(found)
    announce(files, left_out)
    code = lineage.code_version("spark_jobs.curate.steps")
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
        left_out=tuple(left_out),
        units=pack(chunks),
        started=started,
    )
    if not releases.is_release(inventory.release):
        if path := _lock_file(inventory):
            lock.hold(path, "waiting for another process that makes this release")
        if releases.is_release(inventory.release):  # another process made it meanwhile
            remove_work(inventory)
        else:
            storage.write_json(storage.join(inventory.work, "inventory.json"), asdict(inventory))
    return inventory


def load(work: str) -> Inventory:
    """Load the inventory that `take` wrote into a work folder."""
    value = storage.read_json(storage.join(work, "inventory.json"))
    value["files"] = tuple(InputFile(**f) for f in value["files"])
    value["left_out"] = tuple(LeftOut(**x) for x in value["left_out"])
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
    if lock_file := _lock_file(inventory):
        lock.release(lock_file)


def _lock_file(inventory: Inventory) -> Path | None:
    """Return the lock of the work folder; None on S3, where two processes write the same bytes."""
    folder = storage.local_path(inventory.work)
    return folder / "lock" if folder else None
