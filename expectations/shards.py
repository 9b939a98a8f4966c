"""Parquet files of a folder as frames: what their footers say, and a sample of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import lineage, storage
from headrace.infra.errors import ValidationError
from headrace.infra.files import walk
from headrace.infra.releases import FileEntry


@dataclass(frozen=True)
class Shard:
    """A Parquet file below a folder."""

    path: str
    """Relative to the folder."""
    uri: str
    rows: int
    bytes: int
    schema: pa.Schema

    @property
    def keys(self) -> dict[str, str]:
        """Values of the partition columns in the path."""
        return dict(part.split("=", 1) for part in self.path.split("/")[:-1] if "=" in part)


@contextmanager
def readable(uri: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for the block.

    Raises:
        ValidationError: it is none, or it is damaged; names the file.
    """
    try:
        with storage.open_input(uri) as f:
            yield pq.ParquetFile(f)
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise ValidationError(
            f"{uri}: not a sound Parquet file: {first}", "make it again, or restore the file"
        ) from None


def shards(folder: str, part: str) -> list[Shard]:
    """Every Parquet file of one part of a folder (`documents`, say), sorted; footers are read."""
    root = storage.join(folder, part)
    if not storage.exists(root):
        return []
    out = []
    for uri in walk.list_files(root):
        if uri.endswith(".parquet"):
            with readable(uri) as file:
                rows, schema = file.metadata.num_rows, file.schema_arrow
            path = uri[len(storage.display(folder)) :].strip("/")
            out.append(Shard(path, uri, rows, storage.size(uri), schema.remove_metadata()))
    return out


def wrong_columns(schema: pa.Schema, contract: pa.Schema) -> str:
    """Return what of a file's columns is not as the contract has it; empty where all is."""
    types = {f.name: f.type for f in schema}
    wanted = {f.name: f.type for f in contract}
    faults = [f"{name} is missing" for name in wanted if name not in types]
    faults += [f"{name} is not of the contract" for name in types if name not in wanted]
    faults += [
        f"{name} is {types[name]}, not {kind}"
        for name, kind in wanted.items()
        if name in types and types[name] != kind
    ]
    return ", ".join(faults)


def frame(
    files: Sequence[Shard],
    contracts: Sequence[pa.Schema],
    stated: Mapping[str, FileEntry] | None,
    most_hashed: int = 256_000_000,
) -> pd.DataFrame:
    """One row per file: path, rows, bytes, wrong_columns, and stated_… of the manifest's entry.

    Args:
        files: to describe.
        contracts: the schema that each is to have.
        stated: entries of the manifest by path; None without manifest.
        most_hashed: bytes of files that are read to compare checksums, the first ones in order.
    """
    rows: list[dict[str, str | int]] = []
    hashed = 0
    for shard, contract in zip(files, contracts, strict=True):
        row: dict[str, str | int] = {
            "path": shard.path,
            "rows": shard.rows,
            "bytes": shard.bytes,
            "wrong_columns": wrong_columns(shard.schema, contract),
        }
        if stated is not None:
            entry = stated.get(shard.path)
            hashed += shard.bytes
            checked = hashed <= most_hashed
            row |= {
                "stated_rows": _stated_rows(entry),
                "stated_bytes": entry["bytes"] if entry else -1,
                "stated_sha256": _stated_sha256(entry) if checked else "",
                "sha256": lineage.sha256(shard.uri) if checked else "",
            }
        rows.append(row)
    if stated is not None:
        there = {s.path for s in files}
        for path, entry in stated.items():
            if path.endswith(".parquet") and path not in there and _top(path) in _tops(files):
                rows.append(
                    {
                        "path": path,
                        "rows": 0,
                        "bytes": 0,
                        "wrong_columns": "",
                        "stated_rows": _stated_rows(entry),
                        "stated_bytes": entry["bytes"],
                        "stated_sha256": entry["sha256"],
                        "sha256": "the file is missing",
                    }
                )
    return pd.DataFrame(rows)


def _stated_rows(entry: FileEntry | None) -> int:
    """Rows that a manifest states, -1 where it states none."""
    rows = entry.get("rows") if entry else None
    return -1 if rows is None else rows


def _stated_sha256(entry: FileEntry | None) -> str:
    return entry["sha256"] if entry else "not in the manifest"


def _top(path: str) -> str:
    return path.split("/", 1)[0]


def _tops(files: Sequence[Shard]) -> set[str]:
    return {_top(s.path) for s in files}


def sample(files: Sequence[Shard], most_rows: int) -> list[Shard]:
    """Files of at least `most_rows` rows together, spread over the list; all of a small one.

    Chosen by the hash of their path, so that the choice is the same every time.
    """
    chosen, rows = [], 0
    for shard in sorted(files, key=lambda s: lineage.digest(s.path)):
        if rows >= most_rows:
            break
        chosen.append(shard)
        rows += shard.rows
    return sorted(chosen, key=lambda s: s.path)


def read(files: Sequence[Shard], columns: Sequence[str] | None = None) -> list[pa.Table]:
    """Read the table of each file; columns that a file lacks are left out."""
    out = []
    for shard in files:
        with readable(shard.uri) as file:
            want = None if columns is None else [c for c in columns if c in shard.schema.names]
            # The file's own columns only: no partition columns are made up from its path.
            out.append(file.read(columns=want).replace_schema_metadata(None))
    return out
