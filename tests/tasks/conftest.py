"""A state folder with a champion that was taught windows, all of it small enough for a second."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.release_columns import DOCUMENTS_FILE
from headrace.tasks.mlflow_log import registry, tracking


def write_release(
    folder: Path, texts: Sequence[str], parent: str | None = None, scored: pa.Table | None = None
) -> str:
    """A release with these documents, as far as drift and scoring read it.

    Labels and scores are those of `scored`, a row a text; without it all are the same.
    """
    found: list[dict[str, Any]] = scored.to_pylist() if scored else [{}] * len(texts)
    files: dict[str, list[dict[str, Any]]] = {}
    for i, (text, known) in enumerate(zip(texts, found, strict=True)):
        labels = f"lang={known.get('lang') or 'en'}/domain={known.get('domain') or 'general'}"
        files.setdefault(f"documents/{labels}/part-0.parquet", []).append(
            {
                "id": f"{i:032x}",
                "text": text,
                "source": "/in/a.jsonl",
                "position": i + 1,
                "content_hash": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
                "semantic_score": known.get("semantic_score", 0.9),
                "bias_score": known.get("bias_score", 0.1),
                "domain_score": known.get("domain_score", 0.8),
                "created": datetime(2026, 5, 1, tzinfo=UTC),
                "metadata": json.dumps({"given_source": "wire"}),
            }
        )
    for path, rows in files.items():
        (folder / path).parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENTS_FILE), folder / path)
    manifest = {
        "release_id": folder.name, "parent": parent, "files": [{"path": p} for p in files]
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def write_model(folder: Path) -> None:
    """An untrained model of some thousand parameters with a byte-level tokenizer."""
    import tiny

    from headrace.training.moe import export

    tiny.fast(tiny.byte_core()).save_pretrained(folder.parent / "tokenizer")
    model = tiny.model(
        261, seed=3, hidden_size=16, num_hidden_layers=1, head_dim=8, intermediate_size=16,
        n_routed_experts=2, num_experts_per_tok=1, moe_intermediate_size=8,
    )  # fmt: skip
    export.save(model, folder, folder.parent / "tokenizer", export.Card(stage="test"))


@pytest.fixture
def champion(state: Path) -> Callable[..., str]:
    """Makes a version champion: of a name, on a release, after the champion before it."""

    def make(name: str, release: str, tokens: int | None = None, model: bool = False) -> str:
        models, store = registry("headrace"), tracking()
        folder = state / "runs" / name
        export = folder / "export"
        folder.mkdir(parents=True)
        if model:
            write_model(export)
        else:
            export.mkdir()
        if tokens is not None:
            (folder / "result.json").write_text(json.dumps({"tokens": tokens}))
        before = models.current()
        run = store.start_run(name, {})
        store.finish(run)
        tags: dict[str, Any] = {"parent_version": before.number if before else None}
        version = models.register(run, export, release, tags)
        models.move_champion(version, before.number if before else None, "gate", "better", run)
        return version

    return make


@pytest.fixture
def release(state: Path) -> Callable[..., str]:
    """Writes a release of a name with texts, and a parent's name."""

    def make(
        name: str,
        texts: Sequence[str],
        parent: str | None = None,
        scored: pa.Table | None = None,
    ) -> str:
        return write_release(state / "releases" / name, texts, parent, scored)

    return make
