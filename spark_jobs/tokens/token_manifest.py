"""The manifest of token shards, written last, and the answer that is read from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.errors import ValidationError
from headrace.infra.lineage import sha256
from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.plan import PARTS, TokenizeJob, Work, shard_uri
from headrace.spark_jobs.tokens.shard_writer import read_note

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Tokenized:
    """Token shards: the keys of `tokenize` in the contract, and `reused`."""

    output: str
    tokens: int
    heldout_tokens: int
    vocabulary: int
    sequence_length: int
    release_id: str
    reused: bool
    """Whether they were there."""


@dataclass
class Totals:
    """Sums over the shards of a part."""

    documents: int = 0
    document_bytes: int = 0
    tokens: int = 0
    bytes: int = 0
    dropped_tokens: int = 0

    def check(self, part: str, length: int) -> None:
        """Raise unless the text fills a row.

        Raises:
            ValidationError: too little text.
        """
        if self.tokens == 0:
            raise ValidationError(
                f"too little text: the {'held-out' if part == 'heldout' else 'training'} part of "
                f"the corpus is {self.documents} documents of {self.document_bytes:,} bytes, "
                f"{self.dropped_tokens} tokens; one row needs {length} tokens "
                f"(about {4 * length:,} bytes)",
                "curate more text (about one document in 50 is held out), or set a smaller "
                "sequence_length",
            )


def publish(job: TokenizeJob, work: Work, names: list[str], tokenizer: Tokenizer) -> None:
    """Write the manifest from the shards that are in the folder.

    Raises:
        ValidationError: too little text.
    """
    length = job.settings.sequence_length
    files = []
    totals = {part: Totals() for part in PARTS}
    for name in names:
        uri = shard_uri(job.output, name)
        if not storage.exists(uri):
            continue  # no document fell into it
        with storage.open_input(uri) as f:
            meta = pq.ParquetFile(f).metadata
        note, total = read_note(meta), totals[name.split("/")[0]]
        total.documents += note.documents
        total.document_bytes += note.document_bytes
        total.tokens += meta.num_rows * length
        total.bytes += note.bytes
        total.dropped_tokens += note.dropped_tokens
        files.append(
            {
                "path": name,
                "rows": meta.num_rows,
                "bytes": storage.size(uri),
                "sha256": sha256(uri),
            }
        )
    for part, total in totals.items():
        total.check(part, length)
    folder = storage.join(job.output, "tokenizer")
    storage.write_json(
        storage.join(job.output, "manifest.json"),
        {
            "release_id": work.release_id,
            "releases": work.releases,
            "tokens": totals["train"].tokens,
            "heldout_tokens": totals["heldout"].tokens,
            "sequence_length": length,
            **bpe.describe(tokenizer),
            "tokenizer": {"sha256": sha256(storage.join(folder, bpe.FILES[0]))},
            "bytes": {part: total.bytes for part, total in totals.items()},
            "totals": {part: asdict(total) for part, total in totals.items()},
            "settings": work.settings,
            "seed": job.seed,
            "code_version": work.code_version,
            "files": files,
        },
    )


def answer(output: str, reused: bool) -> Tokenized:
    """Return what the manifest of finished shards states."""
    manifest = storage.read_json(storage.join(output, "manifest.json"))
    return Tokenized(
        output=storage.display(output),
        tokens=manifest["tokens"],
        heldout_tokens=manifest["heldout_tokens"],
        vocabulary=manifest["vocabulary"],
        sequence_length=manifest["sequence_length"],
        release_id=manifest["release_id"],
        reused=reused,
    )
