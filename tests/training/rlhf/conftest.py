"""A tiny model with its tokenizer, token shards and alignment data, made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from transformers import PreTrainedTokenizerFast

from headrace.training.chat_template import Chat
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM

SUBJECTS = ["The river", "A farmer", "Our city", "The old law", "One doctor", "The market"]
VERBS = ["follows", "keeps", "crosses", "measures", "protects", "serves"]
OBJECTS = ["the valley", "a small bridge", "every village", "the harvest", "its people"]


def sentence(n: int) -> str:
    """Sentence number n of a small world, different for the first 180."""
    s, v, o = SUBJECTS[n % 6], VERBS[n // 6 % 6], OBJECTS[n // 36 % 5]
    return f"{s} {v} {o} in year {n}."


@dataclass(frozen=True)
class World:
    """Paths of the fixtures."""

    base: Path
    tokens: Path
    sft: Path
    reward: Path
    ppo: Path


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    return path


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny.fast(tiny.bpe_core([sentence(n) for n in range(180)], 400), tiny.CHAT)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> MoEForCausalLM:
    """An untrained model of the tokenizer's vocabulary."""
    return tiny.model(len(tokenizer))


@pytest.fixture
def chat(tokenizer: PreTrainedTokenizerFast) -> Chat:
    """The chat format of the tokenizer, for a context of 64."""
    return Chat.of(tokenizer, 64)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> World:
    root = tmp_path_factory.mktemp("world")
    tokenizer.save_pretrained(root / "tokens" / "tokenizer")
    ids = [i for n in range(180) for i in [0, *tokenizer(sentence(n))["input_ids"]]]
    rows = np.array(ids[: len(ids) // 32 * 32], dtype=np.int32).reshape(-1, 32)
    files = []
    for part, some in (("train", rows[:-8]), ("heldout", rows[-8:])):
        (root / "tokens" / part).mkdir()
        columns: dict[str, Any] = {
            "input_ids": some,
            "document_starts": [np.flatnonzero(r == 0) for r in some],
        }
        path = root / "tokens" / part / "0.parquet"
        kind = pa.list_(pa.int32())
        pq.write_table(
            pa.table({n: pa.array([list(x) for x in c], kind) for n, c in columns.items()}), path
        )
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"path": f"{part}/0.parquet", "rows": len(some), "sha256": sha256})
    manifest = {"vocabulary": len(tokenizer), "sequence_length": 32, "files": files}
    (root / "tokens" / "manifest.json").write_text(json.dumps(manifest))
    base = root / "base" / "export"
    base.parent.mkdir()
    export.save(
        tiny.model(len(tokenizer)),
        base,
        root / "tokens" / "tokenizer",
        export.Card(stage="pretrain"),
    )
    pairs = [{"prompt": f"Go on: {sentence(n)}", "response": sentence(n + 1)} for n in range(140)]
    prefer = [
        {
            "prompt": p["prompt"],
            "chosen": p["response"],
            "rejected": p["response"][:9],
            "kind": "cut",
        }
        for p in pairs
    ]
    for stage, lines in (("sft", pairs), ("reward", prefer), ("ppo", pairs)):
        write_lines(root / stage / "train.jsonl", lines[:-30])
        write_lines(root / stage / "heldout.jsonl", lines[-30:])
    return World(base, root / "tokens", root / "sft", root / "reward", root / "ppo")
