"""Documents as token ids."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.encode import encoder
from headrace.spark_jobs.tokens.plan import Shards


def test_documents_of_the_shards_left_are_encoded(tmp_path: Path) -> None:
    folder = str(tmp_path / "tokenizer")
    texts = [f"text number {i}" for i in range(40)]
    tokenizer = bpe.train(texts, 300)
    bpe.save(tokenizer, folder)
    hashes = [hashlib.sha256(t.encode()).hexdigest()[:32] for t in texts]
    file = str(tmp_path / "part-0.parquet")
    pq.write_table(pa.table({"text": texts, "content_hash": hashes}), file)
    task = pa.RecordBatch.from_pylist([{"uri": file, "row_group": 0, "first": 10, "last": 30}])
    batches = [
        [row for b in encoder(folder, 1, Shards(2, 1), left)(iter([task])) for row in b.to_pylist()]
        for left in ([0, 1, 2], [0], [1], [2])
    ]
    assert len(batches[0]) == 20 == sum(map(len, batches[1:]))
    assert all(row["shard"] == 1 and len(row["key"]) == 16 for row in batches[2])
    written = {
        tokenizer.decode(np.frombuffer(row["ids"], "<i4")[1:].tolist()) for row in batches[0]
    }
    assert written == set(texts[10:30])
