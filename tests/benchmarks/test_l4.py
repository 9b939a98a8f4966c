"""Figures of level 4 on a folder of real text, as Markdown tables.

    HEADRACE_BENCH_DATA=DIR make bench-levels

DIR has Parquet files with the columns text, lang and domain; those that `fit.bias` names with a
column label too. The weights are fitted on the labelled sets, so their rows say how well the level
fits; how it generalises stands in docs/levels/l4_bias.md, from a twin that left a part out.
"""

import os
import random
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.fit.bias import LABELLED
from headrace.spark_jobs.levels.l4_bias import BIAS, BiasSettings
from headrace.spark_jobs.texts import EN, ZH, Texts

pytestmark = pytest.mark.bench
SETTINGS = BiasSettings()


def files() -> list[Path]:
    folder = os.environ.get("HEADRACE_BENCH_DATA")
    if not folder:
        pytest.skip("HEADRACE_BENCH_DATA names no folder")
    return sorted(Path(folder).glob("*.parquet"))


def held(texts: list[str], lang: str) -> Texts:
    code = ZH if lang == "zh" else EN
    return Texts(pa.array(texts, pa.string()), np.full(len(texts), code, np.int8))


def scores(texts: list[str], lang: str) -> npt.NDArray[np.float32]:
    column = BIAS.score(held(texts, lang), SETTINGS)["bias_score"]
    out: npt.NDArray[np.float32] = column.to_numpy(zero_copy_only=False)
    return out


def test_level_4_on_clean_text() -> None:
    scores(["warm"], "en")
    print(
        "\n| file | lang | documents | rejected % | 99th percentile | MB/s |"
        "\n|---|---|---|---|---|---|"
    )
    for path in files():
        if path.stem.startswith(("bias_", "preference_en")):
            continue
        rows = pq.read_table(path, columns=["text", "lang"])
        lang = rows["lang"][0].as_py()
        texts = [t for t in rows["text"].to_pylist() if t]
        began = time.process_time()
        value = scores(texts, lang)
        rate = sum(len(t.encode()) for t in texts) / 1e6 / (time.process_time() - began)
        bad = 100 * (value > SETTINGS.threshold).mean()
        print(
            f"| {path.stem} | {lang} | {len(texts)} | {bad:.2f} | "
            f"{np.quantile(value, 0.99):.3f} | {rate:.0f} |"
        )
        assert bad <= 0.5, f"{path.stem}: too much clean text is rejected"


def test_level_4_on_hostile_text() -> None:
    rng = random.Random(17)
    print(
        "\n| set | comments | AUC | 12 hostile comments as a document, rejected % |"
        "\n|---|---|---|---|"
    )
    for path in files():
        if path.stem not in LABELLED:
            continue
        rows = pq.read_table(path, columns=["text", "lang", "label"]).to_pylist()
        lang = rows[0]["lang"]
        value = scores([r["text"] for r in rows], lang)
        label = np.array([r["label"] for r in rows]) == 1
        order = np.empty(len(rows))
        order[np.argsort(value, kind="stable")] = np.arange(len(rows))
        n, m = int(label.sum()), int((~label).sum())
        auc = (order[label].sum() - n * (n - 1) / 2) / (n * m)
        hostile = [r["text"] for r in rows if r["label"] == 1]
        twelve = ["\n".join(rng.sample(hostile, 12)) for _ in range(200)]
        caught = 100 * (scores(twelve, lang) > SETTINGS.threshold).mean()
        print(f"| {path.stem} | {len(rows)} | {auc:.3f} | {caught:.1f} |")
        assert auc >= 0.8 and caught >= 60, path.stem


def test_level_4_swaps_pairs() -> None:
    """Sentences that differ in the group only (CrowS-Pairs): how often the score moves."""
    path = next((p for p in files() if p.stem == "bias_en_crowspairs"), None)
    if path is None:
        pytest.skip("no bias_en_crowspairs.parquet")
    rows = pq.read_table(path, columns=["text", "sent_less"]).to_pylist()
    moved = np.abs(
        scores([r["text"] for r in rows], "en") - scores([r["sent_less"] for r in rows], "en")
    )
    still = 100 * (moved <= 0.02).mean()
    print(f"\n{len(rows)} pairs: {still:.1f} % within 0.02, mean {moved.mean():.3f}")
    assert still >= 85
