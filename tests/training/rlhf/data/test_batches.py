"""Batches of examples: each item once per epoch, like lengths together."""

from __future__ import annotations

import numpy as np

from headrace.training.rlhf.data.batches import Batches


def test_an_epoch_takes_each_item_once_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 96).tolist()
    batches = Batches(lengths, 8, seed=3)
    epoch = [batches[n] for n in range(12)]
    assert sorted(i for b in epoch for i in b) == list(range(96))
    inside = np.mean([np.ptp([lengths[i] for i in b]) for b in epoch])
    assert inside < 40  # of up to 99 in a random batch
    assert [batches[n] for n in range(12, 24)] != epoch
    assert Batches(lengths, 8, seed=3)[17] == batches[17]


def test_fewer_items_than_a_batch_are_one_batch() -> None:
    assert sorted(Batches([3, 1, 2], 8, seed=1)[5]) == [0, 1, 2]
