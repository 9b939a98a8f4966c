"""Speed of reading in CPU time: JSON lines, sound and odd, and Parquet.

`pytest -m bench -s tests/benchmarks/test_records.py`; the text is what Python ships, in parts of
about 2 kB.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.kernels.lines import Block
from headrace.spark_jobs.reading import reader
from headrace.spark_jobs.reading.records import from_lines
from headrace.spark_jobs.settings import InputSettings, Source

pytestmark = pytest.mark.bench
SETTINGS = InputSettings()


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of three rounds; one before them compiles and loads."""
    spent = []
    for _ in range(4):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent[1:])


def test_reading(tmp_path: Path) -> None:
    parts = [t[k : k + 2000] for t in topics.values() for k in range(0, len(t), 2000)] * 20
    texts = [f"{k} {t}" for k, t in enumerate(parts)]
    size = sum(map(len, texts)) / 1e6
    kinds = {
        "JSON lines": [json.dumps({"text": t, "n": k}) for k, t in enumerate(texts)],
        "JSON lines, all odd": [f'{{"text": {json.dumps(t)}, "n": NaN}}' for t in texts],
    }
    speed: dict[str, float] = {}
    for name, lines in kinds.items():
        block = Block("\n".join(lines).encode(), 1)
        speed[name] = size / cpu_seconds(partial(from_lines, block, "s", SETTINGS))
    pq.write_table(pa.table({"text": texts, "n": range(len(texts))}), tmp_path / "a.parquet")
    [file] = inventory_job.list_inputs([Source(uri=str(tmp_path))])
    file, chunks = inventory_job.survey(file, 0, 1 << 24)
    speed["Parquet"] = size / cpu_seconds(
        lambda: [list(reader.read(file, chunk, SETTINGS)) for chunk in chunks]
    )
    for name, figure in speed.items():
        print(f"{name:24} {figure:8.0f} MB/s per core")
    assert speed["JSON lines"] > speed["JSON lines, all odd"]
