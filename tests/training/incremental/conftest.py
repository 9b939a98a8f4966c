"""A tiny champion and small releases of invented text, for rounds that take seconds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch

from headrace.infra.releases import read_documents
from headrace.training.incremental import old_text
from headrace.training.moe import export
from headrace.training.moe.model import next_token_loss
from headrace.training.optimizer import build_optimizer, set_rate
from headrace.training.scoring import nll
from headrace.training.settings import OptimizerSettings


def content_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_release(folder: Path, texts: Sequence[str], lang: str = "en") -> str:
    """A release folder with these documents, enough of one for what reads it."""
    path = f"documents/lang={lang}/domain=general/part-0.parquet"
    (folder / path).parent.mkdir(parents=True)
    table = pa.table({"content_hash": [content_hash(t) for t in texts], "text": list(texts)})
    pq.write_table(table, folder / path)
    manifest = {"release_id": folder.name, "parent": None, "files": [{"path": path}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def sentences(words: str, count: int, seed: int) -> list[str]:
    """Texts of random words out of `words`."""
    rng = random.Random(seed)
    pool = words.split()
    return [" ".join(rng.choices(pool, k=rng.randint(12, 25))) for _ in range(count)]


OLD = "the court may order that a person who owns land must pay for its repair within a year"
NEW = "quick xylophone jazz vexed zebra fjord kayak wizard onyx quartz gizmo pixel"


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Export folder of an untrained model with a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("champion")
    tiny.fast(tiny.byte_core(), tiny.CHAT).save_pretrained(folder / "tokenizer")
    model = tiny.model(261, seed=3, intermediate_size=32, max_position_embeddings=32)
    export.save(model, folder / "export", folder / "tokenizer", export.Card(stage="test"))
    return str(folder / "export")


@pytest.fixture(scope="session")
def trained(
    champion: str, corpora: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Export folder of the champion after it has learned the old texts as well as it can."""
    tokenizer = export.load_tokenizer(champion)
    documents = nll.encode(
        tokenizer, read_documents(corpora["old"], heldout=False)["text"].to_pylist()
    )
    steps, batch = 250, 16
    rows = old_text.pack(documents, 32, steps * batch, 100, seed=1)
    model = export.load(champion).train()
    optimizer = build_optimizer(model, OptimizerSettings(muon_lr=0.02, adamw_lr=5e-3))
    for step in range(steps):
        ids = torch.from_numpy(rows[step * batch : (step + 1) * batch])
        set_rate(optimizer, step, steps)
        mask = old_text.separate(ids, tokenizer.eos_token_id)
        next_token_loss(model(ids, mask=mask), ids).backward()
        optimizer.step()
        optimizer.zero_grad()
        model.balance(1e-3)
    folder = tmp_path_factory.mktemp("trained") / "export"
    export.save(model, folder, champion, export.Card(stage="test"))
    return str(folder)


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Release folders `old` and `new`."""
    root = tmp_path_factory.mktemp("releases")
    return {
        "old": write_release(root / "old", sentences(OLD, 400, 1)),
        "new": write_release(root / "new", sentences(NEW, 80, 2)),
    }


@pytest.fixture
def release(tmp_path: Path) -> Any:
    """Writes a release of a name and texts; returns its folder."""
    return lambda name, texts: write_release(tmp_path / name, texts)
