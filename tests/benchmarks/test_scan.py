"""Speed of the scan in MB of input a second of CPU: `pytest -m bench -s tests/benchmarks`.

HEADRACE_BENCH_DATA names a JSON Lines file or a folder; without it the text that Python ships.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, TypeVar

import pytest

from headrace.spark_jobs.curate import inventory_job, scan_job
from headrace.spark_jobs.curate.level_runner import decide
from headrace.spark_jobs.kernels import language
from headrace.spark_jobs.kernels.minhash import signatures
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.reading.records import Window
from headrace.spark_jobs.settings import CurateJob, Source
from headrace.spark_jobs.texts import Texts

pytestmark = pytest.mark.bench
T = TypeVar("T")


def test_scan(tmp_path: Path) -> None:
    given = os.environ.get("HEADRACE_BENCH_DATA")
    if given is None:
        rows = [json.dumps({"text": t}) for t in topics.values()] * 20
        (tmp_path / "a.jsonl").write_text("\n".join(rows))
    job = CurateJob(inputs=(Source(uri=given or str(tmp_path)),), output=str(tmp_path))
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable[..., T], *arguments: Any) -> T:
        begun = time.process_time()
        result = function(*arguments)
        spent[name] = spent.get(name, 0.0) + time.process_time() - begun
        return result

    for _ in range(2):  # the first round compiles and loads
        spent.clear()
        inputs = inventory_job.list_inputs(job.inputs)
        files, chunks = timed("inventory", inventory_job.survey_all, inputs)
        for unit in inventory_job.pack(chunks):
            for window in timed("read", list[Window], scan_job.read_unit(files, unit, job)):
                text = window.records["text"].drop_null().combine_chunks()
                codes = timed("language", language.identify, text, job.seed)[2]
                texts = Texts(text, codes)
                for level in LEVELS:
                    timed(level.name, level.score, texts, job.settings.of(level))
                timed("signatures", signatures, texts)
                timed("decide without levels", decide, window.records, job.settings, 1, ())
                timed("decide", decide, window.records, job.settings, 1)
    size = sum(f.bytes for f in files) / 1e6
    for name, seconds in spent.items():
        print(f"{name:24} {size / seconds:8.1f} MB/s per core")
    assert spent["decide"] > spent["decide without levels"]
