"""The sample that a tokenizer is trained on: balanced, bounded, and never held out."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.curate.sample import sample, shares

TEXTS = {
    ("en", "general"): [f"The train number {i} leaves at {i % 24} o'clock.\n" for i in range(300)],
    ("zh", "legal"): [f"第{i}条 本办法自公布之日起第{i}日施行。\n" for i in range(300)],
}


def content_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@pytest.fixture
def release(tmp_path: Path) -> str:
    files = []
    for (lang, domain), texts in TEXTS.items():
        path = f"documents/lang={lang}/domain={domain}/part-0.parquet"
        (tmp_path / path).parent.mkdir(parents=True)
        columns = {"text": texts, "content_hash": [content_hash(t) for t in texts]}
        pq.write_table(pa.table(columns), tmp_path / path, row_group_size=64)
        files.append({"path": path})
    (tmp_path / "manifest.json").write_text(json.dumps({"release_id": "r", "files": files}))
    return str(tmp_path)


def test_balanced_over_languages_and_domains(release: str) -> None:
    texts = list(sample([release], 6_000, seed=1))
    sizes = [sum(len(t.encode()) for t in texts if (t[0] == "第") == zh) for zh in (True, False)]
    assert all(2_950 <= s <= 3_000 for s in sizes)


def test_the_seed_decides(release: str) -> None:
    first = list(sample([release], 6_000, seed=1))
    assert first == list(sample([release], 6_000, seed=1)) != list(sample([release], 6_000, seed=2))


def test_never_held_out(release: str) -> None:
    everything = {t for texts in TEXTS.values() for t in texts}
    heldout = {t for t in everything if is_heldout(content_hash(t))}
    assert heldout
    assert set(sample([release], 10**9, seed=1)) == everything - heldout


def test_shares() -> None:
    assert shares({"a": 10, "b": 100, "c": 1000}, 90) == {"a": 10, "b": 40, "c": 40}
    assert shares({"a": 10, "b": 20}, 90) == {"a": 10, "b": 20}
