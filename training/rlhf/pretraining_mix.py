"""Pretraining text inside alignment: rows mixed into training, and what became of the loss on it.

Without it, a small model unlearns the language while it learns to answer (the "alignment tax" of
Ouyang et al. 2022, who mix pretraining gradients into PPO: PPO-ptx). Rows come from the token
shards that the model was pretrained on, through the loader of pretraining: a token sees its own
document only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from headrace.infra import lineage, storage
from headrace.infra.errors import InputError, UsageError
from headrace.training.callbacks.heldout import heldout_loss
from headrace.training.data.batches import Batch, batch
from headrace.training.data.shards import Shards
from headrace.training.moe.model import MoEForCausalLM, next_token_loss

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Replay:
    """The shards of a token folder, checked to be of the model's own tokenizer.

    Args:
        folder: what `headrace tokenize` wrote.
        tokenizer_dir: the model's export.
        seed: decides the row to begin with; another stage's seed should differ.

    Raises:
        InputError: no finished token shards, or none to train on.
        UsageError: they are of another tokenizer.
    """

    def __init__(self, folder: str, tokenizer_dir: Path, seed: Sequence[int]) -> None:
        self.shards = Shards(folder)
        theirs = storage.join(self.shards.tokenizer, "tokenizer.json")
        if not storage.exists(theirs):
            raise InputError(
                f"{self.shards.folder}: no tokenizer/tokenizer.json",
                "give the folder that `headrace tokenize` made",
            )
        if lineage.sha256(theirs) != lineage.sha256(tokenizer_dir / "tokenizer.json"):
            raise UsageError(
                f"{self.shards.folder} has another tokenizer than the model",
                "give the token folder that the model was pretrained on",
            )
        rows = self.shards.train.rows
        if not rows:
            raise InputError(
                f"{self.shards.folder}: no token rows to train on", "tokenize more text"
            )
        self._first = int(np.random.default_rng(list(seed)).integers(rows))

    def batch(self, step: int, rows: int) -> Batch:
        """Return the next `rows` rows of step number `step`, each document apart.

        Steps follow each other through the shards, whose rows are shuffled, from a row that the
        seed decides; so no file is read twice before all are.
        """
        return batch(self.shards.train, self._first + step * rows, rows, separate=True)

    def loss(self, model: MoEForCausalLM, step: int, rows: int) -> Tensor:
        """Mean nats per token of `batch`, with a gradient."""
        seen = self.batch(step, rows)
        return next_token_loss(model(seen.ids, mask=seen.mask), seen.ids)

    def bits_per_byte(
        self, model: MoEForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: int
    ) -> float | None:
        """Bits per byte of the first `rows` held-out rows as pretraining measures them.

        Each row's first token is given, the rest are predicted, each document by itself. None
        where no row is held out.
        """
        rows = min(rows, self.shards.heldout.rows)
        if not rows:
            return None
        ids = self.shards.heldout.take(0, rows).ids[:, 1:]
        nats = heldout_loss(model, self.shards, rows, separate=True) * ids.size
        return nats / math.log(2) / float(byte_lengths(tokenizer)[ids].sum())


def byte_lengths(tokenizer: PreTrainedTokenizerFast) -> npt.NDArray[np.int64]:
    """(V,) bytes that each token of a byte-level tokenizer stands for; 0 for special tokens."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    # The byte-level alphabet writes each byte as one character.
    return np.array([0 if t is None or t in special else len(t) for t in names])
