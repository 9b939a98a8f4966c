"""What a tokenization does: its job, what decides the bytes of its output, its shards."""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict, dataclass

import pyarrow.parquet as pq

from headrace.infra import releases, storage
from headrace.infra.configuration.settings import Settings, SparkSettings
from headrace.infra.errors import UsageError
from headrace.infra.files import walk
from headrace.infra.lineage import code_version
from headrace.spark_jobs.token_settings import TokenizeSettings
from headrace.spark_jobs.tokens import tokenizer as bpe

log = logging.getLogger(__name__)

SLICE_BYTES = 2_000_000
"""Least text that one task of the encoding reads; it decides the balance, not the result."""
PARTS = ("train", "heldout")


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


@dataclass(frozen=True)
class Work:
    """What decides the bytes of the output; paths don't."""

    release_id: str
    releases: list[str]
    settings: dict[str, int]
    seed: int
    tokenizer: str | None
    """SHA-256 of the tokenizer to use; None where one is trained."""
    code_version: str


def work_of(job: TokenizeJob, corpus: list[str]) -> Work:
    """Return the work of a job on the releases of its corpus."""
    ids = [str(releases.manifest(release)["release_id"]) for release in corpus]
    return Work(
        release_id=ids[-1],
        releases=ids,
        settings=job.settings.model_dump(),
        seed=job.seed,
        tokenizer=bpe.identity(job.tokenizer) if job.tokenizer else None,
        code_version=code_version("spark_jobs.tokens.tokenize_job"),
    )


def claim(output: str, work: Work) -> bool:
    """Whether work is left to do in the output folder; a finished one stays as it is.

    Raises:
        UsageError: the folder holds something else.
    """
    mark = storage.join(output, "work.json")
    if storage.exists(mark):
        stated = storage.read_json(mark)
        differs = [key for key, value in asdict(work).items() if stated.get(key) != value]
        if differs or len(stated) != len(asdict(work)):
            raise UsageError(
                f"{storage.display(output)} holds tokens of other work ({', '.join(differs)})",
                "give another --output, or remove the folder",
            )
        return not _is_whole(output)
    if storage.exists(output) and walk.list_files(output):
        raise UsageError(
            f"{storage.display(output)} is not empty and holds no tokens", "give another --output"
        )
    storage.write_json(mark, asdict(work))
    return True


def _is_whole(output: str) -> bool:
    """Whether finished shards are there; damaged ones are removed, with the manifest."""
    manifest = storage.join(output, "manifest.json")
    if not storage.exists(manifest):
        return False
    files = storage.read_json(manifest)["files"]
    if wrong := releases.damaged(output, files):
        log.warning("%s: %s: its shards are made again", storage.display(output), wrong[0])
        storage.delete(manifest)
        for file in files:
            uri = shard_uri(output, file["path"])
            if releases.damaged(output, [file]) and storage.exists(uri):
                storage.delete(uri)
    return not wrong


def shard_uri(output: str, name: str) -> str:
    """Where the shard `part/number.parquet` is."""
    return storage.join(output, *name.split("/"))


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file of documents."""

    uri: str
    number: int
    rows: int
    bytes: int
    """Uncompressed bytes of its text."""


def row_groups(corpus: list[str]) -> list[RowGroup]:
    """Return the row groups of all documents of the corpus."""
    groups = []
    for release in corpus:
        for uri, _, _ in releases.document_files(release):
            with storage.open_input(uri) as f:
                meta = pq.ParquetFile(f).metadata
            at = meta.schema.to_arrow_schema().names.index("text")
            for i in range(meta.num_row_groups):
                group = meta.row_group(i)
                size = group.column(at).total_uncompressed_size
                groups.append(RowGroup(uri, i, group.num_rows, size))
    return groups


@dataclass(frozen=True)
class Shards:
    """How many shards there are: those of train have the numbers from 0, then those held out."""

    train: int
    heldout: int

    @classmethod
    def of(cls, groups: list[RowGroup], shard_bytes: int) -> Shards:
        """Shards of about `shard_bytes` of text; one document in 50 is held out."""
        train = max(1, round(sum(group.bytes for group in groups) / shard_bytes))
        return cls(train, max(1, round(train / 50)))

    @property
    def names(self) -> list[str]:
        """`part/number.parquet` of each shard, in the order of their numbers."""
        counts = zip(PARTS, (self.train, self.heldout), strict=True)
        return [f"{part}/{i:05d}.parquet" for part, count in counts for i in range(count)]

    def place(self, key: int, heldout: bool) -> int:
        """Return the number of the shard that gets a document, by its 64-bit key."""
        return self.train + (key * self.heldout >> 64) if heldout else key * self.train >> 64


def slices(groups: list[RowGroup], cores: int) -> list[tuple[str, int, int, int]]:
    """(file, row group, first row, end) of the tasks of the encoding, balanced over cores."""
    grain = max(SLICE_BYTES, sum(group.bytes for group in groups) // (8 * cores))
    tasks = []
    for group in groups:
        pieces = max(1, min(group.rows, round(group.bytes / grain)))
        cuts = [group.rows * k // pieces for k in range(pieces + 1)]
        tasks += [(group.uri, group.number, a, b) for a, b in itertools.pairwise(cuts)]
    return tasks
