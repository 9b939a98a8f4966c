"""Pretraining text inside alignment: rows mixed into training, and what became of the loss on it.

Without it, a small model unlearns the language while it learns to answer (the "alignment tax" of
Ouyang et al. 2022, who mix pretraining gradients into PPO: PPO-ptx). Rows come from the token
shards that the model was pretrained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor

from headrace.infra import lineage, storage
from headrace.infra.errors import InputError, UsageError
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.scoring import nll

Rows = npt.NDArray[np.int64]


def _rows(folder: str, most: int | None = None) -> Rows:
    """Token ids (N, T) of the shards below a folder, the first `most` rows of them."""
    out: list[Rows] = []
    have = 0
    for uri in storage.list_files(folder):
        if uri.endswith(".parquet") and (most is None or have < most):
            with storage.open_input(uri) as f:
                column = pq.read_table(f, columns=["input_ids"])["input_ids"].combine_chunks()
            if len(column):
                flat = np.asarray(column.flatten(), dtype=np.int64)
                out.append(flat.reshape(len(column), -1))
                have += len(column)
    if not out:
        raise InputError(
            f"{folder}: no token rows", "give the folder that `headrace tokenize` made"
        )
    return np.concatenate(out)[:most]


class Replay:
    """The shards of a token folder, checked to be of the model's own tokenizer."""

    def __init__(self, folder: str, tokenizer_dir: Path) -> None:
        theirs = storage.join(folder, "tokenizer", "tokenizer.json")
        if not storage.exists(theirs):
            raise InputError(
                f"{storage.display(folder)}: no tokenizer/tokenizer.json",
                "give the folder that `headrace tokenize` made",
            )
        if lineage.sha256(theirs) != lineage.sha256(tokenizer_dir / "tokenizer.json"):
            raise UsageError(
                f"{storage.display(folder)} has another tokenizer than the model",
                "give the token folder that the model was pretrained on",
            )
        self._train = _rows(storage.join(folder, "train"))
        self._folder = folder

    def batch(self, step: int, rows: int, seed: int) -> Tensor:
        """The rows (rows, T) of a step: a function of the arguments alone."""
        rng = np.random.default_rng([seed, step])
        return torch.from_numpy(self._train[rng.integers(0, len(self._train), rows)])

    def heldout(self, most: int) -> Rows:
        """Up to `most` held-out rows (N, T)."""
        return _rows(storage.join(self._folder, "heldout"), most)


def bits_per_byte(model: MoEForCausalLM, tokenizer: Any, rows: Rows) -> float:
    """Bits a byte of packed rows: each row's first token is given, the rest are predicted."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    # A character of a byte-level token stands for one byte; special tokens stand for none.
    sizes = np.array([0 if t is None or t in special else len(t) for t in names])
    nats = nll.score_ids(model, rows.tolist(), nll.context_of(model))
    return float(nats.sum() / np.log(2) / sizes[rows[:, 1:]].sum())
