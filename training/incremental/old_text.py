"""TokenRows of tokens for a round: the window's documents in passes, and a sample of old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from headrace.training.data.batches import same_document
from headrace.training.data.columns import strings
from headrace.training.scoring import nll

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TokenRows = npt.NDArray[np.int64]
"""Token ids, a row of the model's context each; in batches one dimension more."""


def choose(table: pa.Table, count: int, seed: int) -> pa.Table:
    """`count` rows of `table` (all, where it has fewer) in a seeded random order.

    They are put in the order of the content hash first, so how they were stored doesn't matter.
    """
    hashes = strings(table, "content_hash")
    order = sorted(range(len(hashes)), key=lambda i: (hashes[i], i))
    drawn = np.random.default_rng(seed).permutation(len(order))[:count]
    return table.take(pa.array([order[i] for i in drawn], pa.int64()))


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], most: int) -> list[list[int]]:
    """Ids of each text with `<|endoftext|>` in front, cut after `most` ids."""
    return [ids[:most] for ids in nll.encode(tokenizer, texts)]


def pack(
    documents: Sequence[Sequence[int]], length: int, rows: int, passes: int, seed: int
) -> TokenRows:
    """At most `rows` rows (R, length) of the documents, in a new order each pass.

    Documents follow each other without padding; the tail that fills no row is left out, unless
    there would be no row at all: then the documents are repeated until there is one.

    Args:
        documents: ids of each.
        length: ids a row.
        rows: most rows.
        passes: most passes over the documents.
        seed: seed of the orders.
    """
    rng = np.random.default_rng(seed)
    per_pass = sum(map(len, documents))
    if per_pass == 0 or rows == 0:
        return np.zeros((0, length), np.int64)
    wanted = min(rows * length, max(passes * per_pass, length))
    parts: list[Sequence[int]] = []
    filled = 0
    while filled < wanted:
        for i in rng.permutation(len(documents)):
            parts.append(documents[i])
            filled += len(documents[i])
            if filled >= wanted:
                break
    flat = np.concatenate([np.asarray(p, dtype=np.int64) for p in parts])[:wanted]
    return flat[: len(flat) // length * length].reshape(-1, length)


def mix(parts: Sequence[tuple[TokenRows, int]]) -> TokenRows:
    """Batches (steps, rows, T) with so many rows of each part, in the order of the parts.

    Args:
        parts: (rows, number in a batch). All but the last incomplete batch of the first part are
            used once; the others in order, and over again where they run out.
    """
    (first, count), *_ = parts
    steps = max(1, len(first) // count)
    return np.concatenate(
        [np.resize(p, (steps * n, p.shape[1])).reshape(steps, n, -1) for p, n in parts if n], axis=1
    )


def separate(ids: torch.Tensor, eos: int) -> torch.Tensor:
    """Mask (B, 1, T, T): true where a token of packed rows `ids` (B, T) may look.

    It sees its own document only, as in pretraining and in scoring; `eos` begins a document.
    """
    return same_document(ids == eos)
