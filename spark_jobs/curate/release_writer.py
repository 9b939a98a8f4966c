"""Writes the records of a group of units into the folders of a release, and counts them.

One file per folder and group, records in the order of the input. A group's results depend on the
scan and the duplicates alone, so a group that is written again has the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import arrow, lineage, storage
from headrace.infra.level_facts import DUPLICATE, Label
from headrace.infra.releases import FileEntry
from headrace.infra.schemas import UNREADABLE
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.dedup_job import UNIT_SHIFT, verdict_file
from headrace.spark_jobs.curate.inventory_job import UNITS_A_GROUP
from headrace.spark_jobs.curate.ledger import Key, Ledger, Line
from headrace.spark_jobs.curate.level_runner import UNKNOWN
from headrace.spark_jobs.curate.scan_job import RESULT, UnitFiles
from headrace.spark_jobs.levels import DRAWN, LEVELS
from headrace.spark_jobs.release_columns import DOCUMENTS_FILE, REJECTED_FILE

ROW_GROUP_BYTES = 16 << 20
"""Rows of a folder are held until they are about this large."""
EXAMPLES = 10
"""Rejected records per level that the report shows."""
EXAMPLE_CHARACTERS = 700
BINS = 50


def group_file(work: str, group: int) -> str:
    """Where the counts of a written group are; they are there when all its files are."""
    return storage.join(work, "written", f"{group:07d}.json")


class _Folder:
    """The file that one group adds to one folder of a release."""

    def __init__(self, path: str, temporary: str, schema: pa.Schema) -> None:
        self.path, self.temporary, self.schema = path, temporary, schema
        self.rows = 0
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._out = pq.ParquetWriter(
            temporary, schema, compression="zstd", compression_level=3,
            use_dictionary=cast(bool, [n for n in schema.names if n in _REPEATED]),
            write_statistics=False,
        )  # fmt: skip

    def add(self, table: pa.Table) -> None:
        self._held.append(table.select(self.schema.names))
        self._bytes += table.nbytes
        self.rows += table.num_rows
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held).combine_chunks()
            self._out.write_table(table, row_group_size=max(1, table.num_rows))
        self._held, self._bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._out.close()


_REPEATED = {
    *("source", "lang", "domain", "reason", "error"),
    *(c.name for level in LEVELS for c in level.columns if isinstance(c, Label)),
}


class Example(TypedDict):
    """A rejected record that the report shows."""

    id: str
    source: str
    position: int
    lang: str
    reason: str
    detail: str | None
    content_hash: str
    text: str


class Histogram(NamedTuple):
    """How many records of a language have which score, in equal bins between 0 and 1."""

    score: str
    lang: str
    bins: list[int]


class GroupCounts(TypedDict):
    """What the records of a group add up to, and its files."""

    files: list[FileEntry]
    ledger: list[Line]
    histograms: list[Histogram]
    examples: dict[str, list[Example]]
    """By level."""


def read_counts(work: str, group: int) -> GroupCounts:
    """Read the counts of a written group."""
    counts: GroupCounts = storage.read_json(group_file(work, group))
    counts["ledger"] = [Line(*line) for line in counts["ledger"]]
    counts["histograms"] = [Histogram(*histogram) for histogram in counts["histograms"]]
    return counts


class _Counter:
    """Counts the records of a group: ledger, score histograms, rejected examples."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._histograms: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
        self._examples: dict[str, list[Example]] = {}

    def add(self, table: pa.Table) -> None:
        """Count scanned records with their final verdict."""
        self._add_lines(table)
        for lang in _distinct(table, "lang"):
            self._add_scores(lang, table.filter(pc.equal(table["lang"], pa.scalar(lang))))
        for level in _distinct(table, "level"):
            some = table.filter(pc.equal(table["level"], pa.scalar(level)))
            # The smallest hashes are as good as a random choice, and the same on every machine.
            first = some.sort_by("content_hash").slice(0, EXAMPLES)
            self._examples[level] = smallest([*self._examples.get(level, []), *_examples(first)])

    def _add_lines(self, table: pa.Table) -> None:
        keys = ["source", "level", "reason", "lang"]
        text, repairs = (table[c].combine_chunks() for c in ("text", "repairs"))
        repaired = pa.array(arrow.integers(repairs) > 0).cast(pa.int64())
        size = pa.array(arrow.byte_lengths(text), pa.int64())
        sized = table.select(keys).append_column("size", size).append_column("repaired", repaired)
        sums = sized.group_by(keys).aggregate(
            [("size", "sum"), ("repaired", "sum"), ([], "count_all")]
        )
        columns = (*keys, "count_all", "size_sum", "repaired_sum")
        for source, level, reason, lang, n, size, some in zip(
            *(sums[c].to_pylist() for c in columns), strict=True
        ):
            key = Key(source, "rejected" if level else "kept", level or "", reason or "", lang)
            self._ledger.add(key, n, size, some)

    def _add_scores(self, lang: str, table: pa.Table) -> None:
        for score in DRAWN:
            values = table[score.name].drop_null().to_numpy()
            bins = np.histogram(np.clip(values, 0, 1), BINS, (0.0, 1.0))[0]
            before = self._histograms.get((score.name, lang))
            self._histograms[score.name, lang] = bins if before is None else before + bins

    def add_unreadable(self, table: pa.Table) -> None:
        """Count records that could not be read."""
        for source, size in zip(
            table["source"].to_pylist(), table["bytes"].to_pylist(), strict=True
        ):
            self._ledger.add(Key(str(source), "unreadable", "", "", UNKNOWN), 1, int(size or 0))

    def result(self, files: list[FileEntry]) -> GroupCounts:
        """All counts."""
        bins = sorted(self._histograms.items())
        return {
            "files": files,
            "ledger": self._ledger.lines(),
            "histograms": [Histogram(*key, values.tolist()) for key, values in bins],
            "examples": self._examples,
        }


def _distinct(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in table[column].unique().drop_null().to_pylist()]


def _examples(table: pa.Table) -> list[Example]:
    shown = table.select([c for c in Example.__annotations__ if c in table.column_names])
    rows = cast(list[Example], shown.to_pylist())
    for row in rows:
        row["text"] = (row["text"] or "")[:EXAMPLE_CHARACTERS]
    return rows


def smallest(examples: list[Example]) -> list[Example]:
    """Return the first of several examples by content hash, source and position."""
    ordered = sorted(examples, key=lambda e: (e["content_hash"], e["source"], e["position"]))
    return ordered[:EXAMPLES]


class Duplicates(NamedTuple):
    """The duplicates of a unit: their rows, reasons and details."""

    rows: pa.Array[Any]
    reasons: pa.Array[Any]
    details: pa.Array[Any]


def _duplicates(work: str, group: int) -> dict[int, Duplicates]:
    """Return the duplicates of a group by unit."""
    uri = verdict_file(work, group)
    if not storage.exists(uri):
        return {}
    with storage.open_input(uri) as f:
        table = pq.read_table(f)
    doc = table["doc"].to_numpy()
    units = doc >> UNIT_SHIFT
    out = {}
    for unit in np.unique(units).tolist():
        some = table.filter(pa.array(units == unit))
        rows = pa.array(some["doc"].to_numpy() & ((1 << UNIT_SHIFT) - 1))
        out[unit] = Duplicates(
            rows, some["reason"].combine_chunks(), some["detail"].combine_chunks()
        )
    return out


def _records(work: str, unit: int, duplicates: Duplicates | None) -> Iterator[pa.Table]:
    """Yield the scanned records of a unit with their final verdict."""
    first = 0
    with storage.open_input(UnitFiles(work, unit).records) as f, pa.ipc.open_stream(f) as stream:
        for batch in stream:
            table = pa.Table.from_batches([batch], RESULT)
            if duplicates is not None:
                numbers = pa.array(np.arange(first, first + batch.num_rows))
                at = pc.index_in(numbers, duplicates.rows)
                hit = pc.is_valid(at)
                for name, value in (
                    ("level", pa.scalar(DUPLICATE)),
                    ("reason", duplicates.reasons.take(at)),
                    ("detail", duplicates.details.take(at)),
                ):
                    k = table.schema.get_field_index(name)
                    table = table.set_column(
                        k, RESULT.field(name), pc.if_else(hit, value, table[name])
                    )
            first += batch.num_rows
            yield table


def _split(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """(folder, its rows) of a table with verdicts."""
    kept = table.filter(pc.is_null(table["level"]))
    for (lang, domain), rows in _groups(kept, ["lang", "domain"]):
        yield f"documents/lang={lang}/domain={domain}", rows
    for (level,), rows in _groups(table.filter(pc.is_valid(table["level"])), ["level"]):
        yield f"rejected/level={level}", rows


def _groups(table: pa.Table, keys: list[str]) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
    combinations = (
        table.select(keys).group_by(keys).aggregate([]).sort_by([(k, "ascending") for k in keys])
    )
    for values in zip(*(combinations[k].to_pylist() for k in keys), strict=True):
        rows = table
        for key, value in zip(keys, values, strict=True):
            rows = rows.filter(pc.equal(rows[key], pa.scalar(value)))
        yield tuple(map(str, values)), rows


def write_group(group: int, work: str, release: str, units: int) -> None:
    """Write one group's files, and last its counts."""
    scratch = storage.join(work, "scratch")
    duplicates = _duplicates(work, group)
    counts = _Counter()
    folders: dict[str, _Folder] = {}
    with ExitStack() as stack:

        def folder(name: str, schema: pa.Schema) -> _Folder:
            if name not in folders:
                uri = storage.join(release, name, f"part-{group:05d}.parquet")
                temporary = stack.enter_context(written(uri, scratch))
                folders[name] = _Folder(uri, temporary, schema)
            return folders[name]

        for unit in range(group * UNITS_A_GROUP, min(units, (group + 1) * UNITS_A_GROUP)):
            for table in _records(work, unit, duplicates.get(unit)):
                counts.add(table)
                for name, rows in _split(table):
                    documents = name.startswith("documents/")
                    folder(name, DOCUMENTS_FILE if documents else REJECTED_FILE).add(rows)
            with storage.open_input(UnitFiles(work, unit).unreadable) as f:
                table = pa.ipc.open_stream(f).read_all()
            if table.num_rows:
                counts.add_unreadable(table)
                folder("unreadable", UNREADABLE).add(table)
        files: list[FileEntry] = []
        for name in sorted(folders):
            one = folders[name]
            one.close()
            files.append(
                {
                    "path": f"{name}/part-{group:05d}.parquet",
                    "rows": one.rows,
                    "bytes": Path(one.temporary).stat().st_size,
                    "sha256": lineage.sha256(one.temporary),
                }
            )
    storage.write_json(group_file(work, group), counts.result(files))
