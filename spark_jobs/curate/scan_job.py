"""The one scan: reads every record, scores it by all levels, decides, and signs what passes.

Spark hands out numbers of units; each worker reads its byte ranges itself, so that text never
crosses into the JVM. The result of a unit is three files and, last, a marker with its counts:
a unit whose marker is there is not read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import arrow, storage
from headrace.infra.arrow import Binaries
from headrace.infra.faults import during, naming
from headrace.infra.files import walk
from headrace.infra.schemas import VERDICT
from headrace.spark_jobs.curate import inventory_job, parallel
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.input_checks import UNREADABLE_NAMED, check_readable, check_usable
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.level_runner import EMPTY, NO_TEXT, codes_of, decide
from headrace.spark_jobs.curate.scan_counts import ScanCounts, UnitCounts, UnreadableRecord
from headrace.spark_jobs.inputs import Chunk, InputFile
from headrace.spark_jobs.kernels.lines import WINDOW_BYTES
from headrace.spark_jobs.kernels.minhash import band_lists, packed, signatures
from headrace.spark_jobs.levels.l2_semantics import SCORE as QUALITY
from headrace.spark_jobs.reading import reader
from headrace.spark_jobs.reading.records import LOST, RECORD, Window
from headrace.spark_jobs.release_columns import SCORED
from headrace.spark_jobs.settings import CurateJob
from headrace.spark_jobs.texts import Texts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RESULT = pa.schema([*SCORED, *VERDICT, RECORD.field("repairs")])
"""A record after the scan: all scores, the level that rejects it (null where none does), and how
many places of it were repaired when it was read."""

_KEYS: list[tuple[str, pa.DataType]] = [
    ("row", pa.int32()),
    ("id", pa.string()),
    ("content_hash", pa.string()),
    ("passed", pa.bool_()),
    ("score", pa.float32()),
    ("length", pa.int32()),
    ("bands", pa.list_(pa.int64())),
    ("signature", pa.binary()),
]
KEYS = pa.schema(_KEYS)
"""What deduplication needs of a record; signature and bands only where it passed all levels."""


@dataclass(frozen=True)
class UnitFiles:
    """Where the results of a unit are."""

    work: str
    unit: int

    def _file(self, ending: str) -> str:
        return storage.join(self.work, "scan", f"{self.unit:07d}.{ending}")

    @property
    def records(self) -> str:
        """Arrow IPC of RESULT."""
        return self._file("records.arrow")

    @property
    def unreadable(self) -> str:
        """Arrow IPC of what could not be read."""
        return self._file("unreadable.arrow")

    @property
    def keys(self) -> str:
        """Parquet of KEYS."""
        return self._file("keys.parquet")

    @property
    def marker(self) -> str:
        """JSON with the unit's counts; written last."""
        return self._file("json")


def _keys(table: pa.Table, first: int, sign: bool) -> pa.Table:
    """KEYS of RESULT rows of which the first is row `first` of its unit."""
    passed = pc.is_null(table["level"].combine_chunks())
    n = table.num_rows
    bands: pa.Array[Any] = pa.nulls(n, pa.list_(pa.int64()))
    signed: Binaries = pa.nulls(n, pa.binary())
    if sign and arrow.mask(passed).any():
        some = table.filter(passed)
        lang = codes_of(some["lang"].combine_chunks())
        signature, band = signatures(Texts(some["text"].combine_chunks(), lang))
        at = np.flatnonzero(arrow.mask(passed))
        where = np.full(n, -1, np.int64)
        where[at] = np.arange(at.size)
        take = pa.array(where, pa.int64(), mask=where < 0)
        bands, signed = band_lists(band).take(take), packed(signature).take(take)
    columns = [
        pa.array(np.arange(first, first + n, dtype=np.int32), pa.int32()),
        table["id"].combine_chunks(),
        table["content_hash"].combine_chunks(),
        passed,
        arrow.fill_null(table[QUALITY.name].combine_chunks(), -1),
        pa.array(arrow.byte_lengths(table["text"].combine_chunks()), pa.int32()),
        bands,
        signed,
    ]
    return pa.Table.from_arrays(columns, schema=KEYS)


def read_unit(
    files: Sequence[InputFile],
    unit: Sequence[Chunk],
    job: CurateJob,
    tally: reader.Tally | None = None,
) -> Iterator[Window]:
    """Yield the windows of a unit; those of small files are put together.

    `tally` is complete once all windows are taken.
    """
    small: list[Window] = []
    size = 0

    def together() -> Window:
        return Window(
            pa.concat_tables([w.records for w in small]).combine_chunks(),
            pa.concat_tables([w.lost for w in small]).combine_chunks(),
        )

    for chunk in unit:
        file = files[chunk.file]
        windows = reader.read(file, chunk, job.settings.input, tally)
        while (window := _next(windows, file)) is not None:
            small.append(window)
            size += window.records.nbytes
            if size >= WINDOW_BYTES:
                yield together()
                small, size = [], 0
    if small:
        yield together()


def _next(windows: Iterator[Window], file: InputFile) -> Window | None:
    """Return the next window of a file; whatever goes wrong says which file it was."""
    with during(f"reading {file.source}"), naming(file.uri):
        return next(windows, None)


def scan_unit(number: int, work: str, job: CurateJob) -> None:
    """Read, score and sign one unit; its files appear whole, the marker last."""
    inventory = _inventory(work)
    at = UnitFiles(work, number)
    count = _UnitCount()
    tally = reader.Tally()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    first = 0
    scratch = storage.join(work, "scratch")
    with (
        written(at.records, scratch) as records,
        written(at.unreadable, scratch) as unreadable,
        written(at.keys, scratch) as keys,
        pa.ipc.new_stream(records, RESULT, options=options) as records_out,
        pa.ipc.new_stream(unreadable, LOST, options=options) as unreadable_out,
        pq.ParquetWriter(keys, KEYS, compression="zstd", compression_level=1) as keys_out,
    ):
        for window in read_unit(inventory.files, inventory.units[number], job, tally):
            table = _decided(window, job)
            records_out.write_table(table)
            unreadable_out.write_table(window.lost)
            keys_out.write_table(_keys(table, first, job.settings.dedup.enabled))
            first += table.num_rows
            count.add(table, window.lost)
    storage.write_json(at.marker, count.result(tally))


class _UnitCount:
    """Counts the records of a unit, window by window."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def add(self, table: pa.Table, unreadable: pa.Table) -> None:
        """Count RESULT of a window, and what of it could not be read."""
        self._sums["records"] += table.num_rows
        self._sums["usable"] += usable(table)
        self._sums["unreadable"] += unreadable.num_rows
        self._sums["repaired"] += repaired(table)
        self._rejected.update(level for level in table["level"].to_pylist() if level)

    def result(self, tally: reader.Tally) -> UnitCounts:
        """Return the counts, with the bytes that a reader has tallied."""
        sums = self._sums
        return {
            "records": sums["records"],
            "usable": sums["usable"],
            "unreadable": sums["unreadable"],
            "repaired": sums["repaired"],
            "bytes": tally.bytes,
            "unreadable_bytes": tally.lost,
            "rejected": dict(self._rejected),
        }


def usable(table: pa.Table) -> int:
    """How many records of RESULT have text that the levels can judge."""
    without = pc.is_in(table["reason"], pa.array([NO_TEXT, EMPTY]))
    return table.num_rows - without.to_pylist().count(True)


def repaired(table: pa.Table) -> int:
    """How many records of RESULT were read after repairs."""
    return int((arrow.integers(table["repairs"].combine_chunks()) > 0).sum())


@cache
def _inventory(work: str) -> Inventory:
    return inventory_job.load(work)


def _decided(window: Window, job: CurateJob) -> pa.Table:
    """Return RESULT of a window's records; an error names the records on which it occurs."""
    records = window.records
    first = records.select(["source", "position"]).slice(0, 1).to_pylist()
    where = f"{first[0]['source']}:{first[0]['position']}" if first else "no records"
    with during(f"scoring {records.num_rows} records from {where} on"):
        table = decide(records, job.settings, job.seed)
    return table.append_column(RESULT.field("repairs"), records["repairs"])


def finished_units(work: str) -> set[int]:
    """Numbers of the units whose marker is there."""
    folder = storage.join(work, "scan")
    if not storage.exists(folder):
        return set()
    names = (uri.rsplit("/", 1)[-1] for uri in walk.list_files(folder))
    return {int(n.removesuffix(".json")) for n in names if n.endswith(".json")}


def scan(spark: SparkSession, job: CurateJob, inventory: Inventory) -> None:
    """Scan what is not scanned yet.

    Raises:
        InputError: too much is unreadable, or an input changed meanwhile.
        ValidationError: no record has usable text.
    """
    work = inventory.work
    done = finished_units(work)
    parallel.run(
        spark,
        "scan",
        [n for n in range(len(inventory.units)) if n not in done],
        partial(scan_unit, work=work, job=job),
        job.spark.partitions,
        lambda: len(finished_units(work)),
        "pieces",
        parallel.WORKER_BYTES + 16 * job.settings.input.max_record_bytes,
    )
    counts = counted(inventory)
    check_readable(
        counts, job, inventory.files, lambda: first_unreadable(inventory, UNREADABLE_NAMED)
    )
    check_usable(counts, job, inventory.files)


def first_unreadable(inventory: Inventory, most: int) -> list[UnreadableRecord]:
    """Return the first unreadable records of a finished scan."""
    first: list[UnreadableRecord] = []
    for n in range(len(inventory.units)):
        if len(first) >= most:
            break
        with storage.open_input(UnitFiles(inventory.work, n).unreadable) as f:
            first += _named(pa.ipc.open_stream(f).read_all())
    return first[:most]


def _named(unreadable: pa.Table) -> list[UnreadableRecord]:
    columns = (unreadable[name].to_pylist() for name in ("source", "position", "error"))
    return [
        {"source": source, "position": position, "error": error}
        for source, position, error in zip(*columns, strict=True)
    ]


def counted(inventory: Inventory) -> ScanCounts:
    """Return the counts of all units of a finished scan."""
    return ScanCounts.of_units(
        storage.read_json(UnitFiles(inventory.work, n).marker) for n in range(len(inventory.units))
    )


def scan_here(job: CurateJob) -> pa.Table:
    """Return RESULT of all records of small inputs, read and scored in this process, not in Spark.

    Raises:
        InputError: an input is missing, or too much is unreadable.
        ValidationError: no record has usable text.
    """
    files, chunks = inventory_job.survey_all(inventory_job.list_inputs(job.inputs))
    tables = [RESULT.empty_table()]
    unreadable: list[UnreadableRecord] = []
    count, tally = _UnitCount(), reader.Tally()
    for unit in inventory_job.pack(chunks):
        for window in read_unit(files, unit, job, tally):
            tables.append(_decided(window, job))
            count.add(tables[-1], window.lost)
            unreadable += _named(window.lost)
    counts = ScanCounts.of_units([count.result(tally)])
    check_readable(counts, job, files, lambda: unreadable[:UNREADABLE_NAMED])
    check_usable(counts, job, files)
    return pa.concat_tables(tables).combine_chunks()
