"""The release: its files, its ledger, its report, and last the manifest that makes it one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import console, lineage, releases, storage
from headrace.infra.files import walk
from headrace.infra.schemas import LEDGER
from headrace.spark_jobs.curate import (
    input_checks,
    inventory_job,
    parallel,
    release_report,
    scan_job,
)
from headrace.spark_jobs.curate.atomic import written
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.release_writer import group_file, smallest, write_group
from headrace.spark_jobs.levels import PLACES
from headrace.spark_jobs.settings import CurateJob

log = logging.getLogger(__name__)
LOST_EXAMPLES = 10
"""Unreadable records that the report shows."""


@dataclass(frozen=True)
class Draft:
    """A release that only lacks what validates it, and its manifest."""

    release_id: str
    release: str
    """Its folder."""
    totals: dict[str, Any]
    """read, kept, rejected {level: n}, unreadable, repaired."""
    manifest: dict[str, Any]
    """The manifest to be, without the files of `validation/`."""
    inventory: Inventory


SHOWN = 100
"""Files that the answer of `curate` names at most."""


def answer_of(manifest: dict[str, Any], release: str, started: float) -> dict[str, Any]:
    """What `curate` says of a release."""
    totals, inputs = manifest["totals"], manifest["inputs"]
    return {
        "release": release,
        "release_id": manifest["release_id"],
        "read": totals["read"],
        "kept": totals["kept"],
        "rejected": totals["rejected"],
        "unreadable": totals["unreadable"],
        "repaired": totals.get("repaired", 0),
        "input_bytes": sum(i["bytes"] for i in inputs),
        **{
            name: {"count": len(rows), "first": rows[:SHOWN]}
            for name, rows in release_report.files_of_note(manifest).items()
        },
        "seconds": round(time.time() - started, 1),
    }


def finished(job: CurateJob, inventory: Inventory) -> dict[str, Any] | None:
    """What `publish` said of this release, None where it is not there yet, or not whole any more.

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
    answer = answer_of(manifest, inventory.release, inventory.started)
    input_checks.check_readable({**answer, **manifest.get("sizes", {})}, job, inventory.files)
    there = storage.exists(storage.join(job.output, "latest.json"))
    if storage.exists(inventory.work) or (answer["kept"] and not there):
        # Killed between the manifest and the end.
        _point(job, answer)
        inventory_job.remove_work(inventory)
    return answer


def _point(job: CurateJob, answer: dict[str, Any]) -> None:
    """Make a release the latest, if it holds anything: what is built on an empty one fails."""
    if answer["kept"]:
        latest = storage.join(job.output, "latest.json")
        storage.write_json(latest, {"release_id": answer["release_id"]})


def _merged(inventory: Inventory) -> dict[str, Any]:
    """The counts of all groups together, and their files in order."""
    files: list[dict[str, Any]] = []
    ledger: Counter[tuple[str, ...]] = Counter()
    size: Counter[tuple[str, ...]] = Counter()
    repaired: Counter[tuple[str, ...]] = Counter()
    histograms: dict[tuple[str, str], list[int]] = {}
    examples: dict[str, list[dict[str, Any]]] = {}
    for group in range(inventory.groups):
        value = storage.read_json(group_file(inventory.work, group))
        files += value["files"]
        for *key, n, b, some in value["ledger"]:
            ledger[tuple(key)] += n
            size[tuple(key)] += b
            repaired[tuple(key)] += some
        for name, lang, bins in value["histograms"]:
            old = histograms.get((name, lang), [0] * len(bins))
            histograms[name, lang] = [a + b for a, b in zip(old, bins, strict=True)]
        for level, found in value["examples"].items():
            examples[level] = smallest([*examples.get(level, []), *found])
    return {
        "files": sorted(files, key=lambda f: f["path"]),
        "ledger": [(*k, n, size[k], repaired[k]) for k, n in sorted(ledger.items())],
        "histograms": histograms,
        "examples": examples,
    }


def _ledger_table(lines: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*lines, strict=True)) or [()] * len(LEDGER)
    arrays = []
    for field, values in zip(LEDGER, columns, strict=True):
        empty = field.name in ("level", "reason")
        arrays.append(pa.array([None if empty and v == "" else v for v in values], field.type))
    return pa.Table.from_arrays(arrays, schema=LEDGER)


def _totals(lines: list[tuple[Any, ...]]) -> dict[str, Any]:
    outcome: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    repaired = 0
    for _, how, level, _, _, n, _, some in lines:
        outcome[how] += n
        repaired += some
        if how == "rejected":
            rejected[level] += n
    if unknown := {*rejected} - {*PLACES}:
        raise ValueError(f"{min(unknown)} rejects records but isn't one of LEVELS")
    return {
        "read": outcome.total(),
        "kept": outcome["kept"],
        "rejected": {place: rejected[place] for place in PLACES if rejected[place]},
        "unreadable": outcome["unreadable"],
        "repaired": repaired,
    }


def _put(inventory: Inventory, path: str, data: bytes, rows: int | None) -> dict[str, Any]:
    """Write a file of the release; its entry in the manifest."""
    uri = storage.join(inventory.release, path)
    with written(uri, storage.join(inventory.work, "scratch")) as temporary:
        Path(temporary).write_bytes(data)
    return {"path": path, "rows": rows, "bytes": len(data), "sha256": lineage.sha256(uri)}


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3)
    return bytes(sink.getvalue())


def write(spark: Any, job: CurateJob, inventory: Inventory) -> Draft:
    """Write all of the release but `validation/` and the manifest; nothing where it is written."""
    work = inventory.work

    def done() -> set[int]:
        folder = storage.join(work, "written")
        found = walk.list_files(folder) if storage.exists(folder) else []
        return {int(uri.rsplit("/", 1)[-1].removesuffix(".json")) for uri in found}

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
        merged = _merged(inventory)
        totals = _totals(merged["ledger"])
        counts = scan_job.counted(inventory)
        duplicates = storage.read_json(storage.join(work, "duplicates.json"))
        records: Counter[str] = Counter()
        for source, *_, n, _, _ in merged["ledger"]:
            records[source] += n
        manifest: dict[str, Any] = {
            "release_id": inventory.release_id,
            "parent": inventory.parent,
            "inputs": [
                {
                    "uri": f.source,
                    "bytes": f.bytes,
                    "sha256": f.sha256,
                    "records": records[f.source],
                    **({"licence": f.licence} if f.licence else {}),
                    **({"error": f.error} if f.error else {}),
                    **({"note": f.note} if f.note and not f.error else {}),
                }
                for f in inventory.files
            ],
            "config": job.config(),
            "code_version": inventory.code_version,
            "totals": totals,
            "sizes": {k: counts[k] for k in ("bytes", "unreadable_bytes")},
            "left_out": [asdict(x) for x in inventory.left_out],
            "warnings": {"repeated_ids": duplicates["repeated_ids"]},
        }
        ledger = _ledger_table(merged["ledger"])
        figures = release_report.figures(
            manifest,
            merged["ledger"],
            merged["histograms"],
            merged["examples"],
            scan_job.first_lost(inventory, LOST_EXAMPLES) if totals["unreadable"] else (),
        )
        manifest["files"] = [
            *merged["files"],
            _put(inventory, "ledger.parquet", _parquet(ledger), ledger.num_rows),
            _put(inventory, "report.html", release_report.render(figures).encode(), None),
            # Its figures: the report of a whole chain shows them as well.
            _put(inventory, "report.json", figures.model_dump_json(indent=1).encode(), None),
        ]
    return Draft(inventory.release_id, inventory.release, totals, manifest, inventory)


def _validation_files(release: str) -> list[dict[str, Any]]:
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


def publish(job: CurateJob, draft: Draft) -> dict[str, Any]:
    """Make the draft a release: the manifest, then `latest.json`; what `curate` says of it.

    A release without a kept document is one, so that its report says why, but never the latest.
    """
    manifest = dict(draft.manifest)
    manifest["files"] = [*manifest["files"], *_validation_files(draft.release)]
    storage.write_json(storage.join(draft.release, "manifest.json"), manifest)
    answer = answer_of(manifest, draft.release, draft.inventory.started)
    _point(job, answer)
    inventory_job.remove_work(draft.inventory)
    return answer
