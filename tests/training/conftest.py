"""Token shards of invented text, small enough to train on in seconds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from tiny import SPECIAL
from tokenizers import processors

from headrace.training.moe.model import MoEForCausalLM


def documents(count: int) -> list[str]:
    dice = random.Random(3)
    nouns = ["river", "court", "doctor", "market", "法院", "病人", "市场", "城市"]
    verbs = ["keeps", "needs", "finds", "pays", "需要", "发现"]
    return [
        " ".join(f"{dice.choice(nouns)} {dice.choice(verbs)} {dice.choice(nouns)}." for _ in "abcd")
        for _ in range(count)
    ]


def write_shards(folder: Path, count: int, length: int = 64, per_file: int = 40) -> Path:
    """A tokenize run's output folder with `count` documents, several files a split."""
    texts = documents(count)
    core = tiny.bpe_core(texts, 320)
    core.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tiny.fast(core).save_pretrained(folder / "tokenizer")
    files = []
    for split, some in (("train", texts[: -count // 5]), ("heldout", texts[-count // 5 :])):
        each = [core.encode(t).ids for t in some]
        flat = np.concatenate(each).astype(np.int32)
        rows = flat[: len(flat) // length * length].reshape(-1, length)
        begins = np.cumsum([0, *map(len, each)])
        (folder / split).mkdir(parents=True)
        for n, at in enumerate(range(0, len(rows), per_file)):
            part = rows[at : at + per_file]
            starts = [
                [int(b - r * length) for b in begins if r * length <= b < (r + 1) * length]
                for r in range(at, at + len(part))
            ]
            path = folder / split / f"part-{n:05d}.parquet"
            ids = pa.array(part.tolist(), pa.list_(pa.int32()))
            pq.write_table(
                pa.table(
                    {"input_ids": ids, "document_starts": pa.array(starts, pa.list_(pa.int32()))}
                ),
                path,
            )
            data = path.read_bytes()
            files.append(
                {
                    "path": f"{split}/{path.name}",
                    "rows": len(part),
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
    manifest = {
        "release_id": "r1",
        "special": {t: i for i, t in enumerate(SPECIAL)},
        "vocabulary": core.get_vocab_size(),
        "sequence_length": length,
        "files": files,
        "bytes": {"train": 1, "heldout": sum(len(t.encode()) for t in texts[-count // 5 :])},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards: some 80 rows of 64 tokens to train on, in several files."""
    return write_shards(tmp_path_factory.mktemp("shards") / "tokens", 260)


@dataclass
class Watch:
    """What the forward passes of a test did with rows that hold several documents."""

    apart: int = 0
    """Rows in which each token saw its own document only."""
    mixed: int = 0
    """Rows in which some token could see another document."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray, int], Watch]:
    """Starts watching every forward pass for known rows (N, T), whose documents begin with `eos`.

    Other input, as chats and samples, is passed over.
    """

    def start(rows: np.ndarray, eos: int = 0) -> Watch:
        known = {tuple(row[:24]) for row in rows.tolist()}
        seen = Watch()
        hidden = MoEForCausalLM.hidden

        def looked_at(self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
            mask = kwargs.get("mask", args[1] if len(args) > 1 else None)
            for row, ids in enumerate(input_ids.tolist()):
                number = np.cumsum(np.array(ids) == eos)
                if tuple(ids[:24]) not in known or number[-1] == number[0]:
                    continue
                apart = number[:, None] != number[None, :]
                closed = mask is not None and not mask[row, 0].numpy()[apart].any()
                seen.apart, seen.mixed = seen.apart + closed, seen.mixed + (not closed)
            return hidden(self, input_ids, *args, **kwargs)

        monkeypatch.setattr(MoEForCausalLM, "hidden", looked_at)
        return seen

    return start
