"""A release (and its ancestors) as packed rows of tokens, for training and held out.

The order of training is a seeded shuffle of documents over all domains and languages: each
document has a key, the keyed hash of its content hash; the keys' range is cut into shards of about
`shard_bytes` of text; a shard holds its documents by key and is packed by itself. So nothing
depends on partitions, and shards that a killed run finished are kept. The rows of a shard are then
shuffled too: left in order, a batch of neighbouring rows would be pieces of one long document. The
last partial row of each shard is left out and counted in the manifest, so that every token of a row
is a real one.

Run by itself: `python -m headrace.spark_jobs.tokens.tokenize_job job.json`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import console, releases, storage
from headrace.infra.configuration.settings import Settings, SparkSettings
from headrace.infra.errors import UsageError, ValidationError
from headrace.infra.lineage import code_version, is_heldout, sha256
from headrace.spark_jobs.curate.sample import sample
from headrace.spark_jobs.kernels.packing import pack
from headrace.spark_jobs.token_settings import TokenizeSettings
from headrace.spark_jobs.tokens import tokenizer as bpe

log = logging.getLogger(__name__)

SLICE_BYTES = 2_000_000
"""Least text that one task of the encoding reads; it decides the balance, not the result."""
_ENCODE_AT_ONCE = 256
_NOTE = b"headrace"


class TokenizeJob(Settings):
    """One release to tokenize."""

    release: str
    """Folder of the release."""
    output: str
    """Folder that gets tokenizer/, train/, heldout/ and manifest.json."""
    tokenizer: str | None = None
    """Folder of a tokenizer (or model) to use; None: train one on the corpus."""
    ancestors: bool = True
    """Whether the release's ancestors belong to the corpus."""
    settings: TokenizeSettings = TokenizeSettings()
    spark: SparkSettings = SparkSettings()
    seed: int = 20260101


def tokenize(spark: Any, job: TokenizeJob) -> dict[str, Any]:
    """Make the token shards; the keys of `tokenize` in the contract, and `reused`.

    Args:
        spark: a session, or a function without arguments that gives one when work is left to do.
        job: what to do.

    Raises:
        UsageError: the output folder holds something else.
        ValidationError: the text does not fill one row of training and one held out.
    """
    corpus = releases.lineage(job.release) if job.ancestors else [storage.display(job.release)]
    if not any(map(releases.document_files, corpus)):
        raise ValidationError(
            f"{corpus[-1]} keeps no document: there is nothing to tokenize",
            "its report.html says what was rejected and why",
        )
    work = _work(job, corpus)
    if not _claim(job.output, work):
        return _answer(job, reused=True)
    folder = storage.join(job.output, "tokenizer")
    if not storage.exists(storage.join(folder, bpe.FILES[0])):
        _make_tokenizer(job, corpus, folder)
    tokenizer = bpe.load(folder)
    shards = _shards(job, corpus)
    left = [i for i, name in enumerate(shards) if not storage.exists(_at(job.output, name))]
    if left:
        session = spark() if callable(spark) else spark
        with console.Progress("tokenize: encode and pack"):
            _run(session, job, corpus, shards, left)
    _finish(job, work, shards, tokenizer)
    return _answer(job, reused=False)


def _work(job: TokenizeJob, corpus: list[str]) -> dict[str, Any]:
    """What decides the bytes of the output; paths don't."""
    return {
        "release_id": releases.manifest(corpus[-1])["release_id"],
        "releases": [releases.manifest(r)["release_id"] for r in corpus],
        "settings": job.settings.model_dump(),
        "seed": job.seed,
        "tokenizer": job.tokenizer and bpe.identity(job.tokenizer),
        "code_version": code_version("spark_jobs.tokens.tokenize_job"),
    }


def _claim(output: str, work: dict[str, Any]) -> bool:
    """Whether work is left to do in the output folder; a finished one is left alone.

    Raises:
        UsageError: the folder holds something else.
    """
    mark = storage.join(output, "work.json")
    if storage.exists(mark):
        there = storage.read_json(mark)
        if there != work:
            differs = [k for k in work if there.get(k) != work[k]]
            raise UsageError(
                f"{storage.display(output)} holds tokens of other work ({', '.join(differs)})",
                "give another --output, or remove the folder",
            )
        return not _whole(output)
    if storage.exists(output) and storage.list_files(output):
        raise UsageError(
            f"{storage.display(output)} is not empty and holds no tokens", "give another --output"
        )
    storage.write_json(mark, work)
    return True


def _whole(output: str) -> bool:
    """Whether finished shards are there; damaged ones are removed, with the manifest."""
    manifest = storage.join(output, "manifest.json")
    if not storage.exists(manifest):
        return False
    files = storage.read_json(manifest)["files"]
    if wrong := releases.damaged(output, files):
        log.warning("%s: %s: its shards are made again", storage.display(output), wrong[0])
        storage.delete(manifest)
        for file in files:
            if releases.damaged(output, [file]) and storage.exists(_at(output, file["path"])):
                storage.delete(_at(output, file["path"]))
    return not wrong


def _at(output: str, name: str) -> str:
    return storage.join(output, *name.split("/"))


def _make_tokenizer(job: TokenizeJob, corpus: list[str], folder: str) -> None:
    if job.tokenizer:
        bpe.copy(job.tokenizer, folder)
        return
    want = job.settings.vocabulary
    with console.Progress("tokenize: train the tokenizer"):
        texts = sample(corpus, job.settings.sample_bytes, job.seed)
        tokenizer = bpe.train(texts, want)
        bpe.save(tokenizer, folder)
    got = tokenizer.get_vocab_size(with_added_tokens=True)
    if got < want:
        log.warning("the text gives a tokenizer of %d tokens only, %d were asked for", got, want)


def _row_groups(corpus: list[str]) -> list[tuple[str, int, int, int]]:
    """(file, row group, rows, uncompressed bytes of text) of all documents of the corpus."""
    out = []
    for release in corpus:
        for uri, _, _ in releases.document_files(release):
            with storage.open_input(uri) as f:
                meta = pq.ParquetFile(f).metadata
            at = meta.schema.to_arrow_schema().names.index("text")
            for i in range(meta.num_row_groups):
                group = meta.row_group(i)
                out.append((uri, i, group.num_rows, group.column(at).total_uncompressed_size))
    return out


def _shards(job: TokenizeJob, corpus: list[str]) -> list[str]:
    """Names of the shards, those of train first."""
    total = sum(size for *_, size in _row_groups(corpus))
    n = max(1, round(total / job.settings.shard_bytes))
    heldout = max(1, round(n / 50))
    return [f"train/{i:05d}.parquet" for i in range(n)] + [
        f"heldout/{i:05d}.parquet" for i in range(heldout)
    ]


def _run(
    spark: Any, job: TokenizeJob, corpus: list[str], shards: list[str], left: list[int]
) -> None:
    """Encode every document that belongs to a shard of `left`, and write those shards."""
    groups = _row_groups(corpus)
    cores = spark.sparkContext.defaultParallelism
    total = sum(size for *_, size in groups)
    grain = max(SLICE_BYTES, total // (8 * cores))
    tasks = []
    for uri, group, rows, size in groups:
        pieces = max(1, min(rows, round(size / grain)))
        cuts = [rows * k // pieces for k in range(pieces + 1)]
        tasks += [(uri, group, a, b) for a, b in itertools.pairwise(cuts)]
    frame = spark.createDataFrame(
        tasks, "uri string, row_group int, first long, last long"
    ).repartition(job.spark.partitions or min(len(tasks), 4 * cores))
    trains = sum(name.startswith("train/") for name in shards)
    encoded = frame.mapInArrow(
        _encoder(storage.join(job.output, "tokenizer"), job.seed, trains, len(shards), left),
        "shard int, key binary, ids binary",
    )
    encoded.repartition(min(len(left), 4096), "shard").sortWithinPartitions(
        "shard", "key"
    ).mapInArrow(
        _packer(storage.display(job.output), shards, job.settings.sequence_length, job.seed),
        "shard int",
    ).collect()


_ENCODED = pa.schema([("shard", pa.int32()), ("key", pa.binary()), ("ids", pa.binary())])


def _encoder(
    folder: str, seed: int, trains: int, shards: int, left: list[int]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The mapInArrow function from slices of files to encoded documents of the shards left."""
    wanted = frozenset(left)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import os

        # Spark runs a process a core already: threads of the encoder would only fight.
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
                    yield _encode(tokenizer, part, secret, trains, shards, wanted)

    return run


def _encode(
    tokenizer: Any,
    part: pa.RecordBatch,
    secret: bytes,
    trains: int,
    shards: int,
    wanted: frozenset[int],
) -> pa.RecordBatch:
    hashes = part.column("content_hash").to_pylist()
    keys = [hashlib.blake2b(h.encode(), digest_size=16, key=secret).digest() for h in hashes]
    where = []
    for key, content_hash in zip(keys, hashes, strict=True):
        at = int.from_bytes(key[:8])
        where.append(
            trains + (at * (shards - trains) >> 64)
            if is_heldout(content_hash)
            else at * trains >> 64
        )
    rows = [i for i, shard in enumerate(where) if shard in wanted]
    ids = bpe.encode(tokenizer, part.column("text").take(pa.array(rows, pa.int64())).to_pylist())
    return pa.RecordBatch.from_arrays(
        [
            pa.array([where[i] for i in rows], pa.int32()),
            pa.array([keys[i] for i in rows], pa.binary()),
            pa.array([x.astype("<i4").tobytes() for x in ids], pa.binary()),
        ],
        schema=_ENCODED,
    )


def row_order(seed: int, shard: int, rows: int) -> npt.NDArray[np.int64]:
    """(rows,) where each row of shard number `shard` stood before its rows were shuffled."""
    return np.random.default_rng([seed % 2**63, shard]).permutation(rows)


def _packer(
    output: str, shards: list[str], length: int, seed: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The mapInArrow function from documents, sorted by shard and key, to shards written."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lengths = bpe.byte_lengths(bpe.load(storage.join(output, "tokenizer")))
        shard = -1
        documents: list[Any] = []
        written: list[int] = []
        for batch in batches:
            for at, ids in zip(
                batch.column("shard").to_pylist(), batch.column("ids").to_pylist(), strict=True
            ):
                if at != shard and documents:
                    write(shard, documents, lengths)
                    written.append(shard)
                    documents = []
                shard = at
                documents.append(np.frombuffer(ids, "<i4"))
        if documents:
            write(shard, documents, lengths)
            written.append(shard)
        yield pa.RecordBatch.from_arrays([pa.array(written, pa.int32())], names=["shard"])

    def write(shard: int, documents: list[Any], lengths: Any) -> None:
        packed = pack(documents, length, lengths)
        note = {
            "documents": len(documents),
            "dropped_tokens": packed.dropped,
            "bytes": packed.bytes,
            "document_bytes": sum(int(lengths[d].sum()) for d in documents),
        }
        order = pa.array(row_order(seed, shard, packed.rows.num_rows))
        rows = packed.rows.take(order).replace_schema_metadata({_NOTE: json.dumps(note).encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd", row_group_size=4096)
        storage.write_bytes(
            storage.join(output, *shards[shard].split("/")), sink.getvalue().to_pybytes()
        )

    return run


def _finish(job: TokenizeJob, work: dict[str, Any], shards: list[str], tokenizer: Any) -> None:
    """Write the manifest from what lies in the folder.

    Raises:
        ValidationError: too little text.
    """
    length = job.settings.sequence_length
    files = []
    totals: dict[str, dict[str, int]] = {
        part: dict.fromkeys(("documents", "document_bytes", "tokens", "bytes", "dropped_tokens"), 0)
        for part in ("train", "heldout")
    }
    for name in shards:
        uri = _at(job.output, name)
        if not storage.exists(uri):
            continue  # no document fell into it
        with storage.open_input(uri) as f:
            meta = pq.ParquetFile(f).metadata
        note = json.loads(meta.metadata[_NOTE])
        total = totals[name.split("/")[0]]
        for key, value in note.items():
            total[key] += value
        total["tokens"] += meta.num_rows * length
        files.append(
            {
                "path": name,
                "rows": meta.num_rows,
                "bytes": storage.size(uri),
                "sha256": sha256(uri),
            }
        )
    for part, total in totals.items():
        if total["tokens"] == 0:
            raise ValidationError(
                f"too little text: the {'held-out' if part == 'heldout' else 'training'} part of "
                f"the corpus is {total['documents']} documents of {total['document_bytes']:,} "
                f"bytes, {total['dropped_tokens']} tokens; one row needs {length} tokens "
                f"(about {4 * length:,} bytes)",
                "curate more text (about one document in 50 is held out), or set a smaller "
                "sequence_length",
            )
    folder = storage.join(job.output, "tokenizer")
    storage.write_json(
        storage.join(job.output, "manifest.json"),
        {
            "release_id": work["release_id"],
            "releases": work["releases"],
            "tokens": totals["train"]["tokens"],
            "heldout_tokens": totals["heldout"]["tokens"],
            "sequence_length": length,
            **bpe.describe(tokenizer),
            "tokenizer": {"sha256": sha256(storage.join(folder, bpe.FILES[0]))},
            "bytes": {part: total["bytes"] for part, total in totals.items()},
            "totals": totals,
            "settings": work["settings"],
            "seed": job.seed,
            "code_version": work["code_version"],
            "files": files,
        },
    )


def _answer(job: TokenizeJob, reused: bool) -> dict[str, Any]:
    manifest = storage.read_json(storage.join(job.output, "manifest.json"))
    keys = ("tokens", "heldout_tokens", "vocabulary", "sequence_length", "release_id")
    return {
        "output": storage.display(job.output),
        **{k: manifest[k] for k in keys},
        "reused": reused,
    }


if __name__ == "__main__":
    from headrace.infra.spark.session import session
    from headrace.infra.spark.submit import submitted

    submitted(TokenizeJob, lambda job: tokenize(lambda: session(job.spark), job))
