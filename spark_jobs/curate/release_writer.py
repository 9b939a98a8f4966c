"""Writes the records of a group of units into the folders of a release, and counts them.

One file a folder and group, records in the order of the input. A group's results depend on the
scan and the duplicates alone, so a group that is written again has the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import lineage, storage
from headrace.infra.level_facts import Label
from headrace.infra.schemas import UNREADABLE
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.dedup_job import UNIT_SHIFT, verdict_file
from headrace.spark_jobs.curate.inventory_job import UNITS_A_GROUP
from headrace.spark_jobs.curate.scan_job import RESULT, UnitFiles
from headrace.spark_jobs.levels import DRAWN, LEVELS
from headrace.spark_jobs.release_columns import DOCUMENTS_FILE, REJECTED_FILE

ROW_GROUP_BYTES = 16 << 20
"""Rows of a folder are held until they are about this large."""
EXAMPLES = 10
"""Rejected records a level that the report shows."""
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
            use_dictionary=[n for n in schema.names if n in _REPEATED], write_statistics=False,
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


class _Counts:
    """What a group's records add up to: ledger lines, score histograms, rejected examples."""

    def __init__(self) -> None:
        self.ledger: Counter[tuple[str, ...]] = Counter()
        self.bytes: Counter[tuple[str, ...]] = Counter()
        self.repaired: Counter[tuple[str, ...]] = Counter()
        self.histograms: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
        self.examples: dict[str, list[dict[str, Any]]] = {}

    def count(self, table: pa.Table) -> None:
        """Add scanned records with their final verdict."""
        keys = ["source", "level", "reason", "lang"]
        sized = table.select(keys).append_column("size", pc.binary_length(table["text"]))
        sized = sized.append_column("repaired", pc.cast(pc.greater(table["repairs"], 0), "int64"))
        sums = sized.group_by(keys).aggregate(
            [("size", "sum"), ("repaired", "sum"), ([], "count_all")]
        )
        for row in sums.to_pylist():
            outcome = "rejected" if row["level"] else "kept"
            key = (row["source"], outcome, row["level"] or "", row["reason"] or "", row["lang"])
            self.ledger[key] += row["count_all"]
            self.bytes[key] += row["size_sum"] or 0
            self.repaired[key] += row["repaired_sum"] or 0
        for lang in pc.unique(table["lang"]).to_pylist():
            some = table.filter(pc.equal(table["lang"], lang))
            for name in (score.name for score in DRAWN):
                values = some[name].drop_null().to_numpy()
                found = np.histogram(np.clip(values, 0, 1), BINS, (0.0, 1.0))[0]
                old = self.histograms.get((name, lang))
                self.histograms[name, lang] = found if old is None else old + found
        for level in pc.unique(table["level"].drop_null()).to_pylist():
            some = table.filter(pc.fill_null(pc.equal(table["level"], level), False))
            # The smallest hashes are as good as a random choice, and the same on every machine.
            first = pc.select_k_unstable(some, EXAMPLES, [("content_hash", "ascending")])
            new = [_example(row) for row in some.take(first).to_pylist()]
            self.examples[level] = smallest([*self.examples.get(level, []), *new])

    def count_lost(self, table: pa.Table) -> None:
        """Add records that could not be read."""
        for source, size in zip(
            table["source"].to_pylist(), table["bytes"].to_pylist(), strict=True
        ):
            key = (source, "unreadable", "", "", "und")
            self.ledger[key] += 1
            self.bytes[key] += size

    def as_json(self) -> dict[str, Any]:
        """The counts as a JSON value."""
        return {
            "ledger": [
                [*k, n, self.bytes[k], self.repaired[k]] for k, n in sorted(self.ledger.items())
            ],
            "histograms": [[*k, v.tolist()] for k, v in sorted(self.histograms.items())],
            "examples": self.examples,
        }


def _example(row: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "id", "source", "position", "lang", "domain", "level", "reason", "detail", "content_hash",
    )  # fmt: skip
    return {k: row[k] for k in keys} | {"text": (row["text"] or "")[:EXAMPLE_CHARACTERS]}


def smallest(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of several examples by content hash, source and position."""
    ordered = sorted(examples, key=lambda e: (e["content_hash"], e["source"], e["position"]))
    return ordered[:EXAMPLES]


def _duplicates(work: str, group: int) -> dict[int, tuple[pa.Array, pa.Array, pa.Array]]:
    """{unit: (rows, reasons, details)} of a group's duplicates."""
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
        out[unit] = (rows, some["reason"].combine_chunks(), some["detail"].combine_chunks())
    return out


def _records(work: str, unit: int, duplicates: Any) -> Iterator[pa.Table]:
    """The scanned records of a unit with their final verdict."""
    first = 0
    with storage.open_input(UnitFiles(work, unit).records) as f, pa.ipc.open_stream(f) as stream:
        for batch in stream:
            table = pa.Table.from_batches([batch], RESULT)
            if duplicates is not None:
                rows, reasons, details = duplicates
                numbers = pa.array(np.arange(first, first + batch.num_rows))
                at = pc.index_in(numbers, rows)
                hit = pc.is_valid(at)
                for name, value in (
                    ("level", pa.scalar("duplicate")),
                    ("reason", reasons.take(at)),
                    ("detail", details.take(at)),
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
    for row in combinations.to_pylist():
        mask = pc.equal(table[keys[0]], row[keys[0]])
        for key in keys[1:]:
            mask = pc.and_(mask, pc.equal(table[key], row[key]))
        yield tuple(row[k] for k in keys), table.filter(mask)


def write_group(group: int, work: str, release: str, units: int) -> None:
    """Write one group's files, and last its counts."""
    scratch = storage.join(work, "scratch")
    duplicates = _duplicates(work, group)
    counts = _Counts()
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
                counts.count(table)
                for name, rows in _split(table):
                    documents = name.startswith("documents/")
                    folder(name, DOCUMENTS_FILE if documents else REJECTED_FILE).add(rows)
            with storage.open_input(UnitFiles(work, unit).lost) as f:
                table = pa.ipc.open_stream(f).read_all()
            if table.num_rows:
                counts.count_lost(table)
                folder("unreadable", UNREADABLE).add(table)
        files = []
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
    storage.write_json(group_file(work, group), {"files": files, **counts.as_json()})
