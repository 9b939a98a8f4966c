"""Exact and near duplicates among the records that passed every level.

Exact duplicates share a content hash. Near duplicates are candidates where they share a band of
their MinHash signatures; a pair joins only where the similarity estimated from whole signatures
reaches the threshold; joined pairs grow into components. Of each component the best record stays:
by semantic score, then length, then id. Documents of ancestor releases come before all others and
always stay.

Only keys are looked at: hashes, bands and signatures, never text. Above `IN_MEMORY` records it is
Spark that does it, in DataFrames (dedup_frames); below, arrays (kernels.duplicates) give the
same answer without a dozen stages to start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import arrow, console, releases, storage
from headrace.spark_jobs.curate import dedup_frames, scan_job
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.inventory_job import UNITS_A_GROUP, Inventory
from headrace.spark_jobs.curate.level_runner import codes_of
from headrace.spark_jobs.curate.scan_job import UnitFiles
from headrace.spark_jobs.kernels import duplicates
from headrace.spark_jobs.kernels.minhash import band_lists, packed, signatures
from headrace.spark_jobs.levels.l2_semantics import SCORE as QUALITY
from headrace.spark_jobs.settings import CurateJob
from headrace.spark_jobs.texts import Texts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

IN_MEMORY = 400_000
"""Records (ancestors' included) up to which arrays do the work: about 300 MB of keys."""
UNIT_SHIFT = 32
"""A record's number is its unit's, shifted by this, and its row; an ancestor's is negative."""

_VERDICTS: list[tuple[str, pa.DataType]] = [
    ("doc", pa.int64()),
    ("reason", pa.string()),
    ("detail", pa.string()),
]
VERDICTS = pa.schema(_VERDICTS)
"""Which records are duplicates, why, and of which (an id)."""


class DuplicateCounts(TypedDict):
    """What deduplication counts."""

    repeated_ids: int
    """Records whose id another record with another text has."""
    duplicates: int


def verdict_file(work: str, group: int) -> str:
    """Where the verdicts of a group of units are; no file where none is a duplicate."""
    return storage.join(work, "duplicates", f"{group:07d}.parquet")


def _own_keys(work: str, unit: int) -> pa.Table:
    with storage.open_input(UnitFiles(work, unit).keys) as f:
        table = pq.read_table(f)
    doc = (unit << UNIT_SHIFT) + table["row"].combine_chunks().to_numpy().astype(np.int64)
    return table.drop_columns(["row"]).add_column(0, "doc", pa.array(doc))


def _ancestor_keys(number: int, uri: str, lang: str) -> Iterator[pa.Table]:
    """Keys of an ancestor's documents; their signatures are computed again from the text."""
    row = 0
    columns = ["id", "content_hash", QUALITY.name, "text"]
    with storage.open_input(uri) as f:
        for part in pq.ParquetFile(f).iter_batches(4096, columns=columns):
            n, text = part.num_rows, part.column("text")
            signature, band = signatures(Texts(text, codes_of(pa.array([lang] * n, pa.string()))))
            doc = -1 - (np.arange(row, row + n) + (number << UNIT_SHIFT))
            yield pa.table(
                {
                    "doc": pa.array(doc, pa.int64()),
                    "id": part.column("id"),
                    "content_hash": part.column("content_hash"),
                    "passed": pa.array([True] * n, pa.bool_()),
                    "score": arrow.fill_null(part.column(QUALITY.name), -1),
                    "length": pa.array(arrow.byte_lengths(text), pa.int32()),
                    "bands": band_lists(band),
                    "signature": packed(signature),
                }
            )
            row += n


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.combine_chunks().to_batches(max_chunksize=20_000)


def _own_in_spark(batches: Iterable[pa.RecordBatch], work: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for unit in map(int, batch.column(0).to_numpy()):
            yield from _batches(_own_keys(work, unit))


def _ancestors_in_spark(
    batches: Iterable[pa.RecordBatch], files: list[tuple[str, str]]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in map(int, batch.column(0).to_numpy()):
            for table in _ancestor_keys(number, *files[number]):
                yield from _batches(table)


def _save(table: pa.Table, work: str, group: int) -> None:
    with written(verdict_file(work, group), storage.join(work, "scratch")) as path:
        pq.write_table(table.select(VERDICTS.names).cast(VERDICTS), path)


def _save_in_spark(batches: Iterable[pa.RecordBatch], work: str) -> Iterator[pa.RecordBatch]:
    """Write one file per group from rows sorted by group; a partition holds whole groups."""
    held: list[pa.RecordBatch] = []
    group = -1
    for batch in batches:
        groups = batch.column("part").to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
        for begin, end in pairwise(cuts):
            if begin == end:
                continue
            if held and groups[begin] != group:
                _save(pa.Table.from_batches(held), work, group)
                held = []
            group = int(groups[begin])
            held.append(batch.slice(begin, end - begin))
    if held:
        _save(pa.Table.from_batches(held), work, group)
    yield from ()


def _ancestor_files(job: CurateJob) -> tuple[list[tuple[str, str]], int]:
    """(URI and language of every file of the ancestors' documents, number of documents)."""
    if job.parent is None or not job.settings.dedup.enabled:
        return [], 0
    chain = releases.lineage(job.parent)
    files = [(uri, lang) for r in chain for uri, lang, _ in releases.document_files(r)]
    return files, sum(releases.manifest(r)["totals"]["kept"] for r in chain)


def deduplicate(spark: SparkSession, job: CurateJob, inventory: Inventory) -> DuplicateCounts:
    """Write which records are duplicates, unless that is done, and how many there are."""
    done = storage.join(inventory.work, "duplicates.json")
    if storage.exists(done):
        counts: DuplicateCounts = storage.read_json(done)
        return counts
    with console.Progress("duplicates") as progress:
        files, documents = _ancestor_files(job)
        counted = scan_job.counted(inventory)
        if counted.read - counted.unreadable + documents <= IN_MEMORY:
            counts = _in_memory(job, inventory, files)
        else:
            counts = _in_spark(spark, job, inventory, files)
        progress.note = f"{counts['duplicates']:,} found"
    storage.write_json(done, counts)
    return counts


def _in_memory(
    job: CurateJob, inventory: Inventory, files: list[tuple[str, str]]
) -> DuplicateCounts:
    own = [_own_keys(inventory.work, unit) for unit in range(len(inventory.units))]
    if not own:
        return {"repeated_ids": 0, "duplicates": 0}
    keys = pa.concat_tables(own)
    repeated = duplicates.repeated_ids(keys)
    if not job.settings.dedup.enabled:
        return {"repeated_ids": repeated, "duplicates": 0}
    old = [t for n, file in enumerate(files) for t in _ancestor_keys(n, *file)]
    found = duplicates.find(
        pa.concat_tables([keys, *(t.cast(keys.schema) for t in old)]), job.settings.dedup.threshold
    )
    part = (found["doc"].to_numpy() >> UNIT_SHIFT) // UNITS_A_GROUP
    for group in np.unique(part).tolist():
        _save(found.filter(pa.array(part == group)), inventory.work, group)
    return {"repeated_ids": repeated, "duplicates": found.num_rows}


def _in_spark(
    spark: SparkSession, job: CurateJob, inventory: Inventory, files: list[tuple[str, str]]
) -> DuplicateCounts:
    def numbers(n: int) -> DataFrame:
        cores = spark.sparkContext.defaultParallelism
        return spark.range(0, n, 1, job.spark.partitions or max(1, min(n, cores)))

    own = numbers(len(inventory.units)).mapInArrow(
        partial(_own_in_spark, work=inventory.work), dedup_frames.KEYS
    )
    keys = own.persist()
    repeated = dedup_frames.repeated_ids(keys)
    if not job.settings.dedup.enabled:
        keys.unpersist()
        return {"repeated_ids": repeated, "duplicates": 0}
    if files:
        keys = own.union(
            numbers(len(files)).mapInArrow(
                partial(_ancestors_in_spark, files=files), dedup_frames.KEYS
            )
        ).persist()
    found = dedup_frames.find(keys, job.settings.dedup.threshold)
    part = f"bigint(floor(shiftright(doc, {UNIT_SHIFT}) / {UNITS_A_GROUP})) AS part"
    found = found.selectExpr("doc", "reason", "detail", part).persist()
    count = found.count()
    found.repartition("part").sortWithinPartitions("part", "doc").mapInArrow(
        partial(_save_in_spark, work=inventory.work), "none int"
    ).collect()
    spark.catalog.clearCache()
    return {"repeated_ids": repeated, "duplicates": count}
