"""Shards as they are written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.shard_writer import packer, read_note, row_order


def test_shards_are_written_one_by_one(tmp_path: Path) -> None:
    bpe.save(bpe.train(["some text"] * 9, 300), str(tmp_path / "tokenizer"))
    ids = [np.full(10, 5, "<i4").tobytes()] * 3
    batches = [
        pa.RecordBatch.from_pydict({"shard": [0, 0], "ids": ids[:2]}),
        pa.RecordBatch.from_pydict({"shard": [2], "ids": ids[2:]}),
    ]
    names = [f"train/{i:05d}.parquet" for i in range(3)]
    (written,) = packer(str(tmp_path), names, 8, seed=1)(iter(batches))
    assert written["shard"].to_pylist() == [0, 2]
    assert not (tmp_path / names[1]).exists()
    metadata = pq.read_metadata(tmp_path / names[0])
    note = read_note(metadata)
    assert (metadata.num_rows, note.documents, note.dropped_tokens) == (2, 2, 4)


def test_order_of_rows_is_the_seeds() -> None:
    assert row_order(1, 0, 50).tolist() == row_order(1, 0, 50).tolist()
    assert row_order(1, 0, 50).tolist() != row_order(1, 1, 50).tolist()
    assert sorted(row_order(1, 0, 50).tolist()) == list(range(50))
