from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.errors import ValidationError
from headrace.training.scoring import evaluate, nll
from headrace.training.settings import EvaluateSettings

DOCUMENTS = pa.table(
    {
        "text": [f"Document {i} says something. " * (i + 1) for i in range(9)] + ["", None],
        "lang": ["en"] * 6 + ["zh"] * 3 + ["zh", None],
        "domain": ["legal", None, "medical"] * 3 + ["legal", None],
        "content_hash": [f"{97 * i % 11:032x}" for i in range(11)],
    }
)


def test_metrics_are_ratios_of_sums_over_each_slice(model: Any, tokenizer: Any) -> None:
    settings = EvaluateSettings(max_bytes=100)
    got = evaluate.evaluate_model(model, tokenizer, DOCUMENTS, settings, seed=1)
    assert list(got.metrics) == [
        "bits_per_byte",
        "bits_per_byte.lang=en",
        "bits_per_byte.lang=zh",
        "bits_per_byte.domain=legal",
        "bits_per_byte.domain=medical",
    ]
    texts = [nll.cut(t, 100) for t in DOCUMENTS["text"].to_pylist()[:9]]
    nats, sizes = nll.score(model, tokenizer, texts)
    for name, rows in {
        "": range(9),
        ".lang=zh": range(6, 9),
        ".domain=legal": range(0, 9, 3),
    }.items():
        metric = got.metrics["bits_per_byte" + name]
        want = nats[list(rows)].sum() / sizes[list(rows)].sum() / math.log(2)
        assert metric["value"] == pytest.approx(want, rel=1e-6)
        if len(rows) < 6:
            assert metric["low"] is None is metric["high"], "too few documents for an interval"
        else:
            assert metric["low"] <= metric["value"] <= metric["high"]
        assert metric["n"] == len(rows)


def test_order_of_the_table_changes_nothing(model: Any, tokenizer: Any) -> None:
    backwards = DOCUMENTS.take(list(range(10, -1, -1)))
    one, two = (
        evaluate.evaluate_model(model, tokenizer, t, EvaluateSettings(), seed=1)
        for t in (DOCUMENTS, backwards)
    )
    assert one.documents.equals(two.documents) and one.metrics == two.metrics


def test_sample_is_the_lowest_hashes() -> None:
    got = evaluate.sample(DOCUMENTS, EvaluateSettings(documents=3, max_bytes=20))
    hashes, texts = (DOCUMENTS[c].to_pylist() for c in ("content_hash", "text"))
    want = sorted((h, t) for h, t in zip(hashes, texts, strict=True) if t)[:3]
    assert got["id"].to_pylist() == [h for h, _ in want]
    assert got["text"].to_pylist() == [t[:20] for _, t in want]


def test_text_alone_is_enough(model: Any, tokenizer: Any) -> None:
    got = evaluate.evaluate_model(
        model, tokenizer, pa.table({"text": ["one", "two"]}), EvaluateSettings(), seed=1
    )
    assert list(got.metrics) == ["bits_per_byte"]


def test_no_text(model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValidationError):
        evaluate.evaluate_model(
            model, tokenizer, pa.table({"text": ["", None]}), EvaluateSettings(), seed=1
        )


def test_baselines_score_the_same_documents(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    ids = tokenizer("Document 1 says something. " * 40)["input_ids"]
    rows = pa.array([ids[i : i + 64] for i in range(0, 1024, 64)], pa.list_(pa.int32()))
    (tmp_path / "train").mkdir()
    pq.write_table(pa.table({"input_ids": rows}), tmp_path / "train" / "0.parquet")
    got = evaluate.baseline_evaluations(str(tmp_path), tokenizer, DOCUMENTS, seed=1)
    whole = evaluate.evaluate_model(model, tokenizer, DOCUMENTS, EvaluateSettings(), seed=1)
    for baseline in got.values():
        assert baseline.documents.drop_columns(["nats"]).equals(
            whole.documents.drop_columns(["nats"])
        )
        assert np.isfinite(baseline.documents["nats"].to_numpy()).all()
    # Text that repeats is predicted far better by what stands before.
    bigram, unigram = got["kneser_ney_bigram"], got["unigram"]
    assert (
        bigram.metrics["bits_per_byte"]["value"] < 0.5 * unigram.metrics["bits_per_byte"]["value"]
    )
