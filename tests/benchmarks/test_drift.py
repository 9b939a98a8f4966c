"""Figures of docs/drift.md: false alarms on windows of the same mix, and shifts that are seen.

    HEADRACE_BENCH_DATA=DIR python -m pytest -m bench -s tests/benchmarks/test_drift.py

DIR holds Parquet files with `text`, `lang`, `domain`, named <domain>_<lang>_….parquet. Documents
are drawn at random, or in runs of neighbors where that is said. HEADRACE_BENCH_WINDOWS sets the
number of windows a size (default 50), HEADRACE_BENCH_JSON a file for the figures.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from headrace.expectations.drift import Reference, compare, judge
from headrace.expectations.settings import DriftSettings

pytestmark = pytest.mark.bench

DATA = os.environ.get("HEADRACE_BENCH_DATA", "")
WINDOWS = int(os.environ.get("HEADRACE_BENCH_WINDOWS", "50"))
GENERAL = (
    "general_en_18f",
    "general_zh_lctt",
    "legal_en_terms",
    "legal_zh_laws",
    "wiki_zh_cmrc2018",
)
SHIFTS = {
    "medical, English": "medical_en_medquad",
    "medical, Chinese": "medical_zh_dialogue",
    "financial, Chinese": "financial_zh_fincuge",
    "financial, English": "financial_en_tatqa",
    "reviews, Chinese": "sentiment_zh_chnsenticorp",
    "speeches, English": "speeches_en_us",
}
TEXT_ONLY = ["text"]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    if not DATA:
        pytest.skip("set HEADRACE_BENCH_DATA")
    found: dict[str, Any] = {}
    yield found
    if out := os.environ.get("HEADRACE_BENCH_JSON"):
        Path(out).write_text(json.dumps(found, indent=1, ensure_ascii=False))


def load(name: str) -> pa.Table:
    """Texts of a set of at least 60 characters, without repeats; columns text, lang, domain."""
    table = pq.read_table(Path(DATA) / f"{name}.parquet", columns=["text", "lang", "domain"])
    table = table.filter(pc.greater_equal(pc.utf8_length(table["text"]), pa.scalar(60)))
    seen: dict[str, int] = {}
    for i, text in enumerate(table["text"].to_pylist()):
        seen.setdefault(text, i)
    return table.take(sorted(seen.values()))


def drawn(table: pa.Table, n: int, draw: np.random.Generator) -> pa.Table:
    return table.take(draw.permutation(table.num_rows)[:n])


def interval(k: int, n: int) -> str:
    i = binomtest(k, n).proportion_ci(method="wilson")
    return f"{k}/{n} = {k / n:.3f} [{i.low:.3f}, {i.high:.3f}]"


@pytest.mark.parametrize("size", [50, 200, 1000, 4000])
def test_false_alarms(figures: dict[str, Any], size: int) -> None:
    """Windows of one pool, each with a reference of its own: 500 documents, every fourth 4,000."""
    pool = pa.concat_tables([load(name) for name in GENERAL])
    alarms = total = 0
    seconds = []
    for i in range(WINDOWS):
        draw = np.random.default_rng([size, i])
        mixed = drawn(pool, pool.num_rows, draw)
        few = 500 if i % 4 else min(4000, mixed.num_rows - size)
        window, reference = mixed.slice(0, size), mixed.slice(size, few)
        began = time.process_time()
        alarms += compare(reference, window, seed=i).drift
        seconds.append(time.process_time() - began)
        total += 1
    said = interval(alarms, total)
    print(f"\nfalse alarms, windows of {size}: {said}; CPU at most {max(seconds):.1f} s")
    figures[f"false alarms {size}"] = said
    assert binomtest(alarms, total, 0.01, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("length", [1, 5, 20, 50])
def test_false_alarms_of_runs(figures: dict[str, Any], length: int) -> None:
    """Windows of 200 in runs of neighbors that start anywhere in the pool; reference of 500."""
    pool = pa.concat_tables([load(name) for name in GENERAL])
    alarms = 0
    for i in range(WINDOWS):
        draw = np.random.default_rng([length, i, 7])
        starts = draw.permutation(pool.num_rows // length - 1)[: 200 // length]
        offset = int(draw.integers(0, length))
        rows = (starts[:, None] * length + offset + np.arange(length)).ravel()
        rest = draw.permutation(np.setdiff1d(np.arange(pool.num_rows), rows))[:500]
        alarms += compare(pool.take(rest), pool.take(rows), seed=i).drift
    said = interval(alarms, WINDOWS)
    print(f"\nfalse alarms, windows of 200 in runs of {length}: {said}")
    figures[f"false alarms, runs of {length}"] = said
    assert binomtest(alarms, WINDOWS, 0.01, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("learned", [0, 1, 5, 15])
def test_alarms_after_a_lasting_shift(figures: dict[str, Any], learned: int) -> None:
    """Windows of 200 with 30 % of another source, after so many of them were learned."""
    pool = pa.concat_tables([load(name) for name in GENERAL]).select(TEXT_ONLY)
    other = load("medical_en_medquad").select(TEXT_ONLY)
    seen = {"the same mix": 0, "a further shift": 0}
    further = load("financial_zh_fincuge").select(TEXT_ONLY)
    runs = max(4, WINDOWS // 5)
    for i in range(runs):
        draw = np.random.default_rng([learned, i, 8])
        old, new = drawn(pool, pool.num_rows, draw), drawn(other, other.num_rows, draw)
        first = old.slice(140 * (learned + 1), 2000)

        def window(k: int, old: pa.Table = old, new: pa.Table = new) -> pa.Table:
            return pa.concat_tables([old.slice(140 * k, 140), new.slice(60 * k, 60)])

        taught = [window(k) for k in range(learned)]
        corpus = Reference("the corpus", pa.concat_tables([first, *taught]))
        last = [Reference(f"window {k}", t) for k, t in enumerate(taught)][-5:]
        third = pa.concat_tables([old.slice(140 * learned, 140), drawn(further, 60, draw)])
        for name, table in (("the same mix", window(learned)), ("a further shift", third)):
            seen[name] += judge(corpus, table, last, seed=i, original=first).drift
    said = {name: f"{hits}/{runs}" for name, hits in seen.items()}
    print(f"\nafter {learned} learned windows of a lasting shift: {said}")
    figures[f"lasting shift, {learned} learned"] = said
    assert seen["a further shift"] == runs
    assert seen["the same mix"] == (0 if learned else runs)


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "text"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.3])
def test_power(figures: dict[str, Any], share: float, labels: bool) -> None:
    """A share of a window of 200 replaced by another source; reference of 500 documents."""
    pool = pa.concat_tables([load(name) for name in GENERAL])
    seen: dict[str, str] = {}
    for name, file in SHIFTS.items():
        other, hits, runs = load(file), 0, max(4, WINDOWS // 5)
        for i in range(runs):
            draw = np.random.default_rng([int(100 * share), i])
            mixed = drawn(pool, pool.num_rows, draw)
            k = round(200 * share)
            window = pa.concat_tables([mixed.slice(0, 200 - k), drawn(other, k, draw)])
            reference = mixed.slice(200, 500)
            if not labels:
                window, reference = window.select(TEXT_ONLY), reference.select(TEXT_ONLY)
            hits += compare(reference, window, seed=i).drift
        seen[name] = f"{hits}/{runs}"
    print(f"\n{share:.0%} replaced, {'text and labels' if labels else 'text alone'}: {seen}")
    figures[f"power {share} {'labels' if labels else 'text'}"] = seen
    if share >= 0.3:
        assert all(eval_share(s) == 1.0 for s in seen.values())


def eval_share(said: str) -> float:
    hits, runs = said.split("/")
    return int(hits) / int(runs)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("technology news in order of time", "general_zh_lctt"),
        ("statutes in the order of their collection", "legal_zh_laws"),
        ("blog posts in order of time", "general_en_18f"),
        ("medical questions in order of their collection", "medical_en_medquad"),
    ],
)
def test_order_within_a_source(figures: dict[str, Any], name: str, file: str) -> None:
    """The last fifth of a source against the rest: no shift of domain, perhaps one of topic."""
    table = load(file)
    size = min(500, table.num_rows // 5)
    settings = DriftSettings()
    verdict = compare(
        table.slice(0, table.num_rows - size), table.slice(table.num_rows - size), settings
    )
    said = f"drift {verdict.drift}, effect {verdict.effect:.2f}, by {', '.join(verdict.drifted)}"
    print(f"\n{name}: {said}")
    figures[f"order: {name}"] = said
    assert 0 <= verdict.effect <= 1


@pytest.mark.parametrize("change", ["words shuffled", "cut to a third", "every letter upper case"])
def test_damage_of_the_text_alone(figures: dict[str, Any], change: str) -> None:
    """30 % of a window of 200 damaged: the same topics, and no label that says so."""
    pool = pa.concat_tables([load(name) for name in GENERAL])
    hits, runs = 0, max(4, WINDOWS // 5)
    for i in range(runs):
        draw = np.random.default_rng([9, i])
        mixed = drawn(pool, 700, draw)
        texts = mixed["text"].to_pylist()[:200]
        for j in range(60):
            if change == "words shuffled":
                parts = texts[j].split(" ") if " " in texts[j] else list(texts[j])
                texts[j] = " ".join(draw.permutation(parts))
            elif change == "cut to a third":
                texts[j] = texts[j][: len(texts[j]) // 3]
            else:
                texts[j] = texts[j].upper()
        window = pa.table({"text": texts})
        hits += compare(mixed.slice(200).select(TEXT_ONLY), window, seed=i).drift
    print(f"\n30 % of the window with {change}: {hits}/{runs}")
    figures[f"damage: {change}"] = f"{hits}/{runs}"


def test_cost(figures: dict[str, Any]) -> None:
    """CPU seconds of the largest comparison: 4,000 documents against 2,000 of many more."""
    pool = pa.concat_tables([load(name) for name in (*GENERAL, "medical_en_medquad")])
    mixed = drawn(pool, pool.num_rows, np.random.default_rng(0))
    half = mixed.num_rows // 2
    compare(mixed.slice(0, 100), mixed.slice(100, 50))
    began = time.process_time()
    verdict = compare(mixed.slice(0, half), mixed.slice(half))
    spent = time.process_time() - began
    said = f"{verdict.reference_documents} + {verdict.window_documents}: {spent:.1f} s of CPU"
    print(f"\ncost of {said}")
    figures["cost"] = said
    assert spent < 10
