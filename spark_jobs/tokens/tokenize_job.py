"""A release (and its ancestors) as packed rows of tokens, for training and held out.

The order of training is a seeded shuffle of documents over all domains and languages: each
document has a key, the keyed hash of its content hash; the keys' range is cut into shards of about
`shard_bytes` of text; a shard holds its documents by key and is packed by itself. So nothing
depends on partitions, and shards that a killed run finished are kept. The rows of a shard are then
shuffled too: left in order, a batch of neighboring rows would be pieces of one long document. The
last partial row of each shard is left out and counted in the manifest, so that every token of a row
is a real one.

Run by itself: `python -m headrace.spark_jobs.tokens.tokenize_job job.json`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from headrace.infra import console, releases, storage
from headrace.infra.errors import ValidationError
from headrace.spark_jobs.curate.sample import sample
from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.encode import ENCODED, SLICE, encoder
from headrace.spark_jobs.tokens.plan import (
    RowGroup,
    Shards,
    TokenizeJob,
    claim,
    row_groups,
    shard_uri,
    slices,
    work_of,
)
from headrace.spark_jobs.tokens.shard_writer import WRITTEN, packer
from headrace.spark_jobs.tokens.token_manifest import Tokenized, answer, publish

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def tokenize(spark: Callable[[], SparkSession], job: TokenizeJob) -> Tokenized:
    """Make the token shards.

    Args:
        spark: gives a session; called only when work is left to do.
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
    work = work_of(job, corpus)
    if not claim(job.output, work):
        return answer(job.output, reused=True)
    folder = storage.join(job.output, "tokenizer")
    if not storage.exists(storage.join(folder, bpe.FILES[0])):
        _make_tokenizer(job, corpus, folder)
    tokenizer = bpe.load(folder)
    groups = row_groups(corpus)
    shards = Shards.of(groups, job.settings.shard_bytes)
    names = shards.names
    left = [i for i, name in enumerate(names) if not storage.exists(shard_uri(job.output, name))]
    if left:
        session = spark()
        with console.Progress("tokenize: encode and pack"):
            _write_shards(session, job, groups, shards, left)
    publish(job, work, names, tokenizer)
    return answer(job.output, reused=False)


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
        log.warning("the text yields a tokenizer of only %d tokens; %d were requested", got, want)


def _write_shards(
    spark: SparkSession, job: TokenizeJob, groups: list[RowGroup], shards: Shards, left: list[int]
) -> None:
    """Encode every document that belongs to a shard of `left`, and write those shards."""
    cores = spark.sparkContext.defaultParallelism
    tasks = slices(groups, cores)
    frame = spark.createDataFrame(tasks, SLICE).repartition(
        job.spark.partitions or min(len(tasks), 4 * cores)
    )
    output = storage.display(job.output)
    encoded = frame.mapInArrow(
        encoder(storage.join(output, "tokenizer"), job.seed, shards, left), ENCODED
    )
    by_key = encoded.repartition(min(len(left), 4096), "shard").sortWithinPartitions("shard", "key")
    length = job.settings.sequence_length
    by_key.mapInArrow(packer(output, shards.names, length, job.seed), WRITTEN).collect()


if __name__ == "__main__":
    from headrace.infra.spark.session import session
    from headrace.infra.spark.submit import submitted

    submitted(TokenizeJob, lambda job: asdict(tokenize(lambda: session(job.spark), job)))
