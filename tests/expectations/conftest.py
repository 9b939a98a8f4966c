"""A small release and small token shards, whole and right, for tests to damage."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.expectations.stated import CurationConfig
from headrace.infra import lineage, storage
from headrace.infra.releases import Totals
from headrace.infra.schemas import LEDGER, UNREADABLE
from headrace.spark_jobs.release_columns import DOCUMENTS_FILE, REJECTED_FILE

CONFIG: CurationConfig = {
    "input": {"languages": ["zh", "en"]},
    "format": {},
    "semantics": {"threshold": 0.7},
    "facts": {"enabled": True},
    "bias": {"threshold": 0.3},
    "domain": {"targets": {"general": 0.5, "legal": 0.5}},
    "dedup": {"enabled": True},
}


def record(i: int, **changes: Any) -> dict[str, Any]:
    """A record that is kept, but for `changes`."""
    text = f"Document number {i} tells of things that are so."
    return {
        "id": f"{i:032x}",
        "text": text,
        "source": "/data/a.jsonl",
        "position": i + 1,
        "lang": "en",
        "lang_score": 0.99,
        "domain": "general",
        "content_hash": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "semantic_score": 0.9,
        "fact_verdict": "unverified",
        "fact_checks": 0,
        "bias_score": 0.0,
        "domain_score": 0.8,
        "created": None,
        "metadata": None,
        **changes,
    }


def put(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


class Release:
    """A release as records in memory; `save` writes it, with a manifest."""

    record = staticmethod(record)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = [record(i) for i in range(60)]
        self.kept += [record(i, lang="zh", domain="legal") for i in range(60, 80)]
        self.rejected = [
            record(100, semantic_score=0.2, level="semantics", reason="semantics.low", detail="x"),
            record(101, text="", level="format", reason="format.empty", detail="no text"),
        ]
        self.unreadable = [{"source": "/data/a.jsonl", "position": 9, "raw": b"{", "error": "cut"}]
        self.config = CONFIG
        self.spoil: Callable[[Path], None] = lambda _: None
        # Called after all is written and before the manifest is.

    def totals(self) -> Totals:
        rejected = dict(Counter(r["level"] for r in self.rejected))
        read = len(self.kept) + len(self.rejected) + len(self.unreadable)
        return {
            "read": read,
            "kept": len(self.kept),
            "rejected": rejected,
            "unreadable": len(self.unreadable),
        }

    def draft(self) -> Path:
        """Write all but the manifest."""
        for lang, domain in sorted({(r["lang"], r["domain"]) for r in self.kept}):
            rows = [r for r in self.kept if (r["lang"], r["domain"]) == (lang, domain)]
            put(
                self.folder / f"documents/lang={lang}/domain={domain}/0.parquet",
                rows,
                DOCUMENTS_FILE,
            )
        for level in sorted({r["level"] for r in self.rejected}):
            rows = [r for r in self.rejected if r["level"] == level]
            put(self.folder / f"rejected/level={level}/0.parquet", rows, REJECTED_FILE)
        put(self.folder / "unreadable/0.parquet", self.unreadable, UNREADABLE)
        lines = Counter(
            [("kept", None, None, r["lang"]) for r in self.kept]
            + [("rejected", r["level"], r["reason"], r["lang"]) for r in self.rejected]
            + [("unreadable", None, None, None) for _ in self.unreadable]
        )
        ledger = [
            {
                "source": "/data/a.jsonl",
                "outcome": outcome,
                "level": level,
                "reason": reason,
                "lang": lang,
                "records": n,
                "bytes": 10 * n,
            }
            for (outcome, level, reason, lang), n in lines.items()
        ]
        put(self.folder / "ledger.parquet", ledger, LEDGER)
        self.spoil(self.folder)
        return self.folder

    def save(self) -> Path:
        """Write the whole release."""
        self.draft()
        files = [
            {
                "path": str(p.relative_to(self.folder)),
                "rows": pq.read_metadata(p).num_rows,
                "bytes": p.stat().st_size,
                "sha256": lineage.sha256(p),
            }
            for p in sorted(self.folder.rglob("*.parquet"))
        ]
        value = {"release_id": "r", "totals": self.totals(), "config": self.config, "files": files}
        storage.write_json(self.folder / "manifest.json", value)
        return self.folder


@pytest.fixture
def made(tmp_path: Path) -> Release:
    return Release(tmp_path / "releases" / "abc")
