"""Chinese text against the same text in traditional characters: how much of each is rejected.

    pip install zhconv
    HEADRACE_BENCH_DATA=DIR pytest -m bench -s tests/benchmarks/test_folding.py

DIR has Parquet files with the columns text and lang. zhconv (tables and phrases of MediaWiki) has
no part in the table that headrace folds with, and is no dependency.
"""

import os
import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.curate.level_runner import decide
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.texts import ZH, Texts

pytestmark = pytest.mark.bench
ROWS = 1000
FORMS = ("zh-hant", "zh-tw", "zh-hk")


def rejected(texts: list[str]) -> float:
    return 100 * float(
        pc.is_valid(decide(pa.table({"text": texts}), CurateSettings(), 1)["level"])
        .to_numpy()
        .mean()
    )


def test_traditional_text_is_rejected_as_often_as_simplified() -> None:
    zhconv = pytest.importorskip("zhconv")
    folder = os.environ.get("HEADRACE_BENCH_DATA")
    if not folder:
        pytest.skip("HEADRACE_BENCH_DATA names no folder")
    print(f"\n| set | texts | simplified, rejected % | {' | '.join(FORMS)} |")
    print("|---" * (3 + len(FORMS)) + "|")
    for path in sorted(Path(folder).glob("*.parquet")):
        rows = pq.read_table(path, columns=["text", "lang"]).filter(pc.field("lang") == "zh")
        texts = [t for t in rows["text"].to_pylist() if t]
        if not texts:
            continue
        random.Random(3).shuffle(texts)
        texts = texts[:ROWS]
        base = rejected(texts)
        other = [rejected([zhconv.convert(t, form) for t in texts]) for form in FORMS]
        print(
            f"| {path.stem} | {len(texts)} | {base:.1f} | {' | '.join(f'{x:.1f}' for x in other)} |"
        )
        # A text more or less of a set where next to none is rejected says nothing.
        assert max(other) <= 1.2 * base + 100 / len(texts)


def test_speed_of_folding() -> None:
    line = "国务院关于修改个人所得税法实施条例的决定，自公布之日起施行。"
    other = "國務院關於修改個人所得稅法實施條例的決定，自公布之日起施行。"
    for name, text in (("simplified", line), ("traditional", other)):
        texts = pa.array([text * 30] * 5000)
        codes = np.full(len(texts), ZH, np.int8)
        begun = [0.0, 0.0]
        for k in range(2):  # the first round compiles
            held = Texts(texts, codes)
            begun[k] = time.process_time()
            size = held.folded.size / 1e6
        print(f"{name}: {size / (time.process_time() - begun[1]):.0f} MB/s per core")
