"""Batches as the model takes them: ids, and who may look at whom.

A packed row holds several documents. With `separate` a token sees only its own document, so that
training sees what scoring sees: a document from its first token on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.training.data.shards import Rows, Split


@dataclass(frozen=True)
class Batch:
    """Token ids (B, T) int64, and a mask (B, 1, T, T) bool or None for plainly causal."""

    ids: Tensor
    mask: Tensor | None


def same_document(begins: Tensor) -> Tensor:
    """Return (B, 1, T, T): True where key and query share a document and the key isn't later.

    `begins` (B, T) is true where a document begins.
    """
    number = begins.cumsum(1)
    return (number[:, :, None] == number[:, None, :]).tril()[:, None]


def document_mask(rows: Rows) -> Tensor:
    """`same_document` of rows from shards."""
    begins = np.zeros(rows.ids.shape, dtype=bool)
    for row, starts in zip(begins, rows.starts, strict=True):
        row[starts] = True
    return same_document(torch.from_numpy(begins))


def batch(split: Split, start: int, rows: int, separate: bool) -> Batch:
    """`rows` rows from number `start` on, wrapping round at the end."""
    taken = split.take(start, rows)
    ids = torch.from_numpy(taken.ids.astype(np.int64))
    return Batch(ids, document_mask(taken) if separate else None)
