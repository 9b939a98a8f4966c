"""Documents as token ids, each with its shard and its place there: the scan of a tokenization."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.plan import Shards

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Batches = Iterator[pa.RecordBatch]
SLICE = "uri string, row_group int, first long, last long"
ENCODED = "shard int, key binary, ids binary"
_ENCODE_AT_ONCE = 256
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("shard", pa.int32()),
    ("key", pa.binary()),
    ("ids", pa.binary()),
]
_ENCODED = pa.schema(_COLUMNS)


def encoder(
    folder: str, seed: int, shards: Shards, left: list[int]
) -> Callable[[Batches], Batches]:
    """Return the mapInArrow function from slices of files to encoded documents.

    Args:
        folder: of the tokenizer.
        seed: of the order of documents.
        shards: of the output.
        left: numbers of the shards whose documents are encoded.
    """
    wanted = frozenset(left)

    def run(batches: Batches) -> Batches:
        # Spark runs one process per core already: threads of the encoder would only fight.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        tokenizer = bpe.load(folder)
        secret = seed.to_bytes(16, "little", signed=True)
        for batch in batches:
            for task in batch.to_pylist():
                with storage.open_input(task["uri"]) as f:
                    table = pq.ParquetFile(f).read_row_group(
                        task["row_group"], columns=["text", "content_hash"]
                    )
                table = table.slice(task["first"], task["last"] - task["first"])
                for part in table.to_batches(max_chunksize=_ENCODE_AT_ONCE):
                    yield _encode(tokenizer, part, secret, shards, wanted)

    return run


def _encode(
    tokenizer: Tokenizer,
    part: pa.RecordBatch,
    secret: bytes,
    shards: Shards,
    wanted: frozenset[int],
) -> pa.RecordBatch:
    keys, numbers, texts = [], [], []
    for document in part.to_pylist():
        content_hash = document["content_hash"]
        key = hashlib.blake2b(content_hash.encode(), digest_size=16, key=secret).digest()
        number = shards.place(int.from_bytes(key[:8]), is_heldout(content_hash))
        if number in wanted:
            keys.append(key)
            numbers.append(number)
            texts.append(document["text"])
    ids = bpe.encode(tokenizer, texts)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(numbers, pa.int32()),
            pa.array(keys, pa.binary()),
            pa.array([x.astype("<i4").tobytes() for x in ids], pa.binary()),
        ],
        schema=_ENCODED,
    )
