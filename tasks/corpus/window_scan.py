"""The scan of a window: made once, read by the drift test, and handed on to its curation.

    HOME/windows/.work/<id>/scan/    results of each unit, as a curation has them

A curation of the same text with the same settings and code takes these over, whatever its parent.
Retention removes them as it does unfinished curations (retention.unfinished_days).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pyarrow as pa

from headrace.infra import lineage, storage
from headrace.infra.state import private
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate import scan_job
from headrace.spark_jobs.curate.input_checks import UNREADABLE_NAMED, check_readable, check_usable
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.scan_job import UnitFiles, finished_units
from headrace.spark_jobs.settings import CurateJob


def scan_window(job: CurateJob, inventory: Inventory) -> pa.Table:
    """All records of a small input, read and scored in this process, without Spark.

    Raises:
        InputError: an input is missing, or too much is unreadable.
        ValidationError: no record has usable text.
    """
    work, units = inventory.work, range(len(inventory.units))
    done = finished_units(work)
    for unit in units:
        if unit not in done:
            scan_job.scan_unit(unit, work, job)
    counts = scan_job.counted(inventory)
    unreadable = partial(scan_job.first_unreadable, inventory, UNREADABLE_NAMED)
    check_readable(counts, job, inventory.files, unreadable)
    check_usable(counts, job, inventory.files)
    tables = [scan_job.RESULT.empty_table()]
    for unit in units:
        with storage.open_input(UnitFiles(work, unit).records) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
    return pa.concat_tables(tables).combine_chunks()


def take_over(job: CurateJob, inventory: Inventory) -> None:
    """Give a curation the units that a scan of the same window has finished."""
    scanned = _place(job, inventory)
    if job.parent is None or not scanned.is_dir():
        return
    done = finished_units(inventory.work)
    for unit in sorted(finished_units(str(scanned)) - done):
        source, target = UnitFiles(str(scanned), unit), UnitFiles(inventory.work, unit)
        _copy(source.records, target.records)
        _copy(source.unreadable, target.unreadable)
        _copy(source.keys, target.keys)
        _copy(source.marker, target.marker)  # last: the unit is finished then


def _place(job: CurateJob, inventory: Inventory) -> Path:
    """Work folder of a scan of the same input, which differs in having no parent."""
    key = {
        "inputs": [[f.source, f.bytes, f.sha256] for f in inventory.files],
        "config": job.config(),
        "parent": None,
        "code": inventory.code_version,
    }
    return home().windows / ".work" / lineage.digest(key)


def _copy(source: str, target: str) -> None:
    path = storage.local_path(target)
    if path is None:
        storage.write_bytes(target, storage.read_bytes(source))
        return
    private.make_folder(path.parent)
    path.unlink(missing_ok=True)  # of a unit without its marker
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        storage.write_bytes(target, storage.read_bytes(source))
