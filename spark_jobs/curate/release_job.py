"""The release: its files, its ledger, its report, and last the manifest that makes it one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import console, lineage, releases, storage
from headrace.infra.files import walk
from headrace.infra.releases import FileEntry, FileNote, InputEntry, Manifest, Totals
from headrace.spark_jobs.curate import (
    input_checks,
    inventory_job,
    ledger,
    parallel,
    release_report,
    scan_job,
)
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.dedup_job import DuplicateCounts
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.ledger import Ledger, Line
from headrace.spark_jobs.curate.release_writer import (
    Example,
    read_counts,
    smallest,
    write_group,
)
from headrace.spark_jobs.curate.scan_counts import ScanCounts
from headrace.spark_jobs.settings import CurateJob

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
UNREADABLE_SHOWN = 10
"""Unreadable records that the report shows."""
SHOWN = 100
"""Files that the answer of `curate` names at most."""


@dataclass(frozen=True)
class Draft:
    """A release that only lacks what validates it, and its manifest."""

    manifest: Manifest
    """The manifest to be, without the files of `validation/`."""
    inventory: Inventory

    @classmethod
    def load(cls, inventory: Inventory) -> Draft:
        """Load the draft that `write` has left in the work folder."""
        return cls(storage.read_json(_draft_file(inventory)), inventory)

    @property
    def release(self) -> str:
        """Its folder."""
        return self.inventory.release

    @property
    def totals(self) -> Totals:
        """Its records by outcome."""
        return self.manifest["totals"]


def _draft_file(inventory: Inventory) -> str:
    return storage.join(inventory.work, "draft.json")


class FileNotes(TypedDict):
    """How many files are of note, and the first of them."""

    count: int
    first: list[FileNote]


class Answer(TypedDict):
    """What `curate` answers."""

    release: str
    release_id: str
    read: int
    kept: int
    rejected: dict[str, int]
    unreadable: int
    repaired: int
    input_bytes: int
    unreadable_files: FileNotes
    noted_files: FileNotes
    left_out: FileNotes
    seconds: float


def answer_of(manifest: Manifest, release: str, started: float) -> Answer:
    """Return what `curate` answers for a release."""
    totals = manifest["totals"]
    notes: dict[str, list[FileNote]] = release_report.files_of_note(manifest)
    return {
        "release": release,
        "release_id": manifest["release_id"],
        "read": totals["read"],
        "kept": totals["kept"],
        "rejected": totals["rejected"],
        "unreadable": totals["unreadable"],
        "repaired": totals.get("repaired", 0),
        "input_bytes": sum(i["bytes"] for i in manifest["inputs"]),
        "unreadable_files": _first(notes["unreadable_files"]),
        "noted_files": _first(notes["noted_files"]),
        "left_out": _first(notes["left_out"]),
        "seconds": round(time.time() - started, 1),
    }


def _first(notes: list[FileNote]) -> FileNotes:
    return {"count": len(notes), "first": notes[:SHOWN]}


def finished(job: CurateJob, inventory: Inventory) -> Answer | None:
    """Return what `publish` answered for this release; None unless it is there, and whole.

    A damaged one is no release: its manifest goes, and the same work writes the same bytes again.

    Raises:
        InputError: more of its input is unreadable than this job allows.
    """
    if not releases.is_release(inventory.release):
        return None
    manifest = releases.manifest(inventory.release)
    if wrong := releases.damaged(inventory.release, manifest["files"]):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        log.warning("%s: %s%s: it is written again", inventory.release, wrong[0], more)
        storage.delete(storage.join(inventory.release, "manifest.json"))
        return None
    counts = ScanCounts.of_release(manifest["totals"], manifest.get("sizes"))
    input_checks.check_readable(counts, job, inventory.files)
    there = storage.exists(storage.join(job.output, "latest.json"))
    if storage.exists(inventory.work) or (counts.kept and not there):
        # Killed between the manifest and the end.
        _point(job, manifest)
        inventory_job.remove_work(inventory)
    return answer_of(manifest, inventory.release, inventory.started)


def _point(job: CurateJob, manifest: Manifest) -> None:
    """Make a release the latest, if it holds anything: what is built on an empty one fails."""
    if manifest["totals"]["kept"]:
        latest = storage.join(job.output, "latest.json")
        storage.write_json(latest, {"release_id": manifest["release_id"]})


@dataclass(frozen=True)
class _Written:
    """What all groups together come to."""

    files: list[FileEntry]
    """In the order of their paths."""
    ledger: list[Line]
    histograms: dict[tuple[str, str], list[int]]
    """By score and language: counts of equal bins."""
    examples: dict[str, list[Example]]
    """Rejected records by level."""

    @classmethod
    def of(cls, inventory: Inventory) -> _Written:
        """Return the counts of all groups, added up."""
        files: list[FileEntry] = []
        lines: list[Line] = []
        histograms: dict[tuple[str, str], list[int]] = {}
        examples: dict[str, list[Example]] = {}
        for group in range(inventory.groups):
            counts = read_counts(inventory.work, group)
            files += counts["files"]
            lines += counts["ledger"]
            for score, lang, bins in counts["histograms"]:
                before = histograms.get((score, lang), [0] * len(bins))
                histograms[score, lang] = [a + b for a, b in zip(before, bins, strict=True)]
            for level, some in counts["examples"].items():
                examples[level] = smallest([*examples.get(level, []), *some])
        return cls(
            sorted(files, key=lambda f: f["path"]), Ledger(lines).lines(), histograms, examples
        )


def _put(inventory: Inventory, path: str, data: bytes, rows: int | None = None) -> FileEntry:
    """Write a file of the release; its entry in the manifest."""
    uri = storage.join(inventory.release, path)
    with written(uri, storage.join(inventory.work, "scratch")) as temporary:
        Path(temporary).write_bytes(data)
    return {"path": path, "rows": rows, "bytes": len(data), "sha256": lineage.sha256(uri)}


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3)
    return bytes(sink.getvalue())


def write(spark: SparkSession, job: CurateJob, inventory: Inventory) -> Draft:
    """Write what is missing of a release, but for `validation/` and the manifest."""
    work = inventory.work

    def done() -> set[int]:
        folder = storage.join(work, "written")
        names = walk.list_files(folder) if storage.exists(folder) else []
        return {int(uri.rsplit("/", 1)[-1].removesuffix(".json")) for uri in names}

    before = done()
    parallel.run(
        spark,
        "write",
        [g for g in range(inventory.groups) if g not in before],
        partial(write_group, work=work, release=inventory.release, units=len(inventory.units)),
        job.spark.partitions,
        lambda: len(done()),
        "parts",
    )
    with console.Progress("ledger and report"):
        whole = _Written.of(inventory)
        manifest = _manifest(job, inventory, whole.ledger)
        manifest["files"] = [*whole.files, *_summaries(inventory, manifest, whole)]
        storage.write_json(_draft_file(inventory), manifest)
    return Draft(manifest, inventory)


def _manifest(job: CurateJob, inventory: Inventory, lines: Sequence[Line]) -> Manifest:
    """Return the manifest without files."""
    duplicates: DuplicateCounts = storage.read_json(storage.join(inventory.work, "duplicates.json"))
    return {
        "release_id": inventory.release_id,
        "parent": inventory.parent,
        "inputs": _inputs(inventory, lines),
        "config": job.config(),
        "code_version": inventory.code_version,
        "totals": ledger.totals(lines),
        "sizes": scan_job.counted(inventory).sizes,
        "left_out": [{"uri": x.uri, "why": x.why} for x in inventory.left_out],
        "warnings": {"repeated_ids": duplicates["repeated_ids"]},
        "files": [],
    }


def _inputs(inventory: Inventory, lines: Iterable[Line]) -> list[InputEntry]:
    records: Counter[str] = Counter()
    for line in lines:
        records[line.source] += line.records
    entries: list[InputEntry] = []
    for file in inventory.files:
        entry: InputEntry = {
            "uri": file.source,
            "bytes": file.bytes,
            "sha256": file.sha256,
            "records": records[file.source],
        }
        if file.licence:
            entry["licence"] = file.licence
        if file.error:
            entry["error"] = file.error
        elif file.note:
            entry["note"] = file.note
        entries.append(entry)
    return entries


def _summaries(inventory: Inventory, manifest: Manifest, whole: _Written) -> list[FileEntry]:
    """Write ledger and report."""
    table = ledger.table(whole.ledger)
    unreadable = manifest["totals"]["unreadable"]
    figures = release_report.figures(
        manifest,
        whole.ledger,
        whole.histograms,
        whole.examples,
        scan_job.first_unreadable(inventory, UNREADABLE_SHOWN) if unreadable else (),
    )
    return [
        _put(inventory, "ledger.parquet", _parquet(table), table.num_rows),
        _put(inventory, "report.html", release_report.render(figures).encode()),
        # Its figures: the report of a whole chain shows them as well.
        _put(inventory, "report.json", figures.model_dump_json(indent=1).encode()),
    ]


def _validation_files(release: str) -> list[FileEntry]:
    folder = storage.join(release, "validation")
    if not storage.exists(folder):
        return []
    return [
        {
            "path": uri[len(storage.display(release)) + 1 :],
            "rows": None,
            "bytes": storage.size(uri),
            "sha256": lineage.sha256(uri),
        }
        for uri in walk.list_files(folder)
    ]


def publish(job: CurateJob, draft: Draft) -> Answer:
    """Make the draft a release: the manifest, then `latest.json`; what `curate` answers.

    A release without a kept document is one, so that its report says why, but never the latest.
    """
    manifest = draft.manifest.copy()
    manifest["files"] = [*manifest["files"], *_validation_files(draft.release)]
    storage.write_json(storage.join(draft.release, "manifest.json"), manifest)
    answer = answer_of(manifest, draft.release, draft.inventory.started)
    _point(job, manifest)
    inventory_job.remove_work(draft.inventory)
    return answer
