"""Batches of examples: shuffled each epoch, yet with like lengths together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def order(
    lengths: Mapping[int, int] | list[int], batch: int, epoch: int, seed: int
) -> list[list[int]]:
    """Shuffle one epoch's batches (indices), yet keep answers of similar length together.

    Within each stretch of eight batches items are sorted by length, which saves most padding; the
    batches themselves come in a shuffled order. A rest that fills no batch is left out, unless it
    is all there is.
    """
    rng = np.random.default_rng([seed, epoch])
    items = rng.permutation(len(lengths)).tolist()
    out: list[list[int]] = []
    for start in range(0, len(items), 8 * batch):
        stretch = sorted(items[start : start + 8 * batch], key=lambda i: (lengths[i], i))
        out += [stretch[i : i + batch] for i in range(0, len(stretch), batch)]
    full = [b for b in out if len(b) == batch] or [items]
    return [full[i] for i in rng.permutation(len(full))]


class Batches:
    """Batch number n of an endless run of epochs: a function of n, so that a run can resume."""

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed
        self._epoch, self._order = 0, order(lengths, batch, 0, seed)

    def __getitem__(self, number: int) -> list[int]:
        """Return the indices of batch `number`, counted from 0."""
        epoch, at = divmod(number, len(self._order))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order(self._lengths, self._batch, epoch, self._seed)
        return self._order[at]
