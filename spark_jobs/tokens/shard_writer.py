"""Encoded documents packed into rows, shuffled and written: one Parquet file per shard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.spark_jobs.kernels.packing import pack
from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.encode import Batches
from headrace.spark_jobs.tokens.plan import shard_uri

WRITTEN = "shard int"
_NOTE = b"headrace"


@dataclass(frozen=True)
class ShardNote:
    """What a shard's rows don't show; it stands in the metadata of the file."""

    documents: int
    dropped_tokens: int
    """Tokens of the last, partial row."""
    bytes: int
    """Bytes of the text in its rows."""
    document_bytes: int
    """Bytes of the text of its documents."""


def read_note(metadata: pq.FileMetaData) -> ShardNote:
    """Read the note of a shard."""
    return ShardNote(**json.loads((metadata.metadata or {})[_NOTE]))


def row_order(seed: int, shard: int, rows: int) -> npt.NDArray[np.int64]:
    """(rows,) where each row of shard number `shard` stood before its rows were shuffled."""
    return np.random.default_rng([seed % 2**63, shard]).permutation(rows)


def packer(
    output: str, names: Sequence[str], length: int, seed: int
) -> Callable[[Batches], Batches]:
    """Return the mapInArrow function from documents, sorted by shard and key, to shards.

    Args:
        output: folder of the tokenizer and the shards.
        names: of the shards, by number.
        length: tokens per row.
        seed: of the order of rows.
    """

    def run(batches: Batches) -> Batches:
        lengths = bpe.byte_lengths(bpe.load(storage.join(output, "tokenizer")))
        current = -1
        documents: list[npt.NDArray[np.int32]] = []
        written: list[int] = []

        def finish() -> None:
            if documents:
                uri = shard_uri(output, names[current])
                storage.write_bytes(uri, _shard(current, documents, length, lengths, seed))
                written.append(current)
                documents.clear()

        for batch in batches:
            for row in batch.select(["shard", "ids"]).to_pylist():
                if row["shard"] != current:
                    finish()
                current = row["shard"]
                documents.append(np.frombuffer(row["ids"], "<i4"))
        finish()
        yield pa.RecordBatch.from_arrays([pa.array(written, pa.int32())], names=["shard"])

    return run


def _shard(
    number: int,
    documents: Sequence[npt.NDArray[np.int32]],
    length: int,
    lengths: npt.NDArray[np.int64],
    seed: int,
) -> bytes:
    """Return the Parquet file of a shard."""
    packed = pack(documents, length, lengths)
    note = ShardNote(
        documents=len(documents),
        dropped_tokens=packed.dropped,
        bytes=packed.bytes,
        document_bytes=sum(int(lengths[d].sum()) for d in documents),
    )
    rows = packed.rows.take(row_order(seed, number, packed.rows.num_rows))
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata({_NOTE: json.dumps(asdict(note)).encode()}),
        sink,
        compression="zstd",
        row_group_size=4096,
    )
    return sink.getvalue().to_pybytes()
