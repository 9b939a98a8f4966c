"""A bounded sample of a corpus's text, balanced over languages and domains, never held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow.parquet as pq

from headrace.infra import releases, storage
from headrace.infra.lineage import is_heldout

_AT_ONCE = 1024


def shares(sizes: dict[str, int], budget: int) -> dict[str, int]:
    """How much of each cell to take: equal parts; what a small cell can't give goes to others."""
    out: dict[str, int] = {}
    left = budget
    for i, (cell, size) in enumerate(sorted(sizes.items(), key=lambda x: (x[1], x[0]))):
        out[cell] = min(size, left // (len(sizes) - i))
        left -= out[cell]
    return out


def sample(corpus: list[str], budget: int, seed: int) -> Iterator[str]:
    """Texts of about `budget` bytes in all, the same for the same releases and seed.

    Row groups are taken in a seeded order until a cell (language and domain) has its part, so no
    more of a large corpus is read than that.

    Args:
        corpus: folders of releases.
        budget: bytes of text.
        seed: of the order.
    """
    groups: dict[str, list[tuple[bytes, str, int]]] = {}
    sizes: dict[str, int] = {}
    secret = seed.to_bytes(16, "little", signed=True)
    for generation, release in enumerate(corpus):
        for uri, lang, domain in releases.document_files(release):
            with storage.open_input(uri) as f:
                meta = pq.ParquetFile(f).metadata
            at = meta.schema.to_arrow_schema().names.index("text")
            cell = f"{lang}/{domain}"
            for i in range(meta.num_row_groups):
                # By place and not by release id: the same text gives the same sample also where
                # the id differs by the code alone.
                name = f"{generation}/{cell}/{uri.rsplit('/', 1)[-1]}/{i}".encode()
                key = hashlib.blake2b(name, digest_size=16, key=secret).digest()
                groups.setdefault(cell, []).append((key, uri, i))
                sizes[cell] = (
                    sizes.get(cell, 0) + meta.row_group(i).column(at).total_uncompressed_size
                )
    for cell, quota in sorted(shares(sizes, budget).items()):
        yield from _take(sorted(groups[cell]), quota, secret)


def _take(groups: list[tuple[bytes, str, int]], quota: int, secret: bytes) -> Iterator[str]:
    left = quota
    for _, uri, i in groups:
        with storage.open_input(uri) as f:
            table = pq.ParquetFile(f).read_row_group(i, columns=["text", "content_hash"])
        hashes = [str(value) for value in table["content_hash"].to_pylist()]
        keys = [hashlib.blake2b(h.encode(), digest_size=16, key=secret).digest() for h in hashes]
        rows = sorted((key, j) for j, key in enumerate(keys) if not is_heldout(hashes[j]))
        for a in range(0, len(rows), _AT_ONCE):
            for text in table["text"].take([j for _, j in rows[a : a + _AT_ONCE]]).to_pylist():
                if left <= 0:
                    return
                raw = str(text).encode()[:left]
                left -= len(raw)
                yield raw.decode(errors="ignore")
