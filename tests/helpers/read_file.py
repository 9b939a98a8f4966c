"""A file as the scan reads it, in the pieces that the inventory cuts it into."""

from pathlib import Path
from typing import Any

from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.reading import reader
from headrace.spark_jobs.reading.records import LOST, RECORD
from headrace.spark_jobs.settings import InputSettings, Source

SMALL = InputSettings(max_record_bytes=2000)
Rows = list[dict[str, Any]]


def read(path: Path, settings: InputSettings = SMALL, target: int = 1 << 20) -> tuple[Rows, Rows]:
    """(records, lost) of one file, cut into chunks of about `target` bytes."""
    [file] = inventory_job.list_inputs([Source(uri=str(path))])
    file, chunks = inventory_job.survey(file, 0, target)
    records, lost = [], []
    for chunk in chunks:
        for window in reader.read(file, chunk, settings):
            assert window.records.schema == RECORD and window.lost.schema == LOST
            records += window.records.to_pylist()
            lost += window.lost.to_pylist()
    return records, lost
