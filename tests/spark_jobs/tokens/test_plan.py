"""Shards and slices of a corpus."""

from headrace.spark_jobs.tokens.plan import SLICE_BYTES, RowGroup, Shards, slices

GROUPS = [RowGroup("a", 0, 100, 3 * SLICE_BYTES), RowGroup("a", 1, 10, 10)]


def test_one_shard_in_fifty_is_held_out() -> None:
    shards = Shards.of([RowGroup("a", 0, 1, 100_000)], 1000)
    assert (shards.train, shards.heldout) == (100, 2)
    assert shards.names[0] == "train/00000.parquet"
    assert shards.names[-1] == "heldout/00001.parquet" and len(shards.names) == 102


def test_every_key_has_a_place() -> None:
    shards = Shards(train=3, heldout=2)
    assert [shards.place(key, False) for key in (0, 2**63, 2**64 - 1)] == [0, 1, 2]
    assert [shards.place(key, True) for key in (0, 2**64 - 1)] == [3, 4]


def test_slices_cover_every_row_once() -> None:
    tasks = slices(GROUPS, cores=1)
    assert tasks == [("a", 0, 0, 33), ("a", 0, 33, 66), ("a", 0, 66, 100), ("a", 1, 0, 10)]
