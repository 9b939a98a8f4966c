"""PaddleX's documentation, Chinese and English Markdown, by section.

Tables and fenced code are left out: they are no prose, and half of the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, members, sections

_NO_PROSE = re.compile(r"(?ms)\A---\n.*?^---$|<table.*?</table>|^ *```.*?^ *```")
_HEADING = re.compile(r"(?m)^(?=##? )")


def _records(archive: Path) -> Iterator[Record]:
    for name, data in members(archive, CORPUS.member, ".md"):
        for text in sections(_NO_PROSE.sub("", data.decode("utf-8")), _HEADING):
            yield {"text": text, "section": name.removeprefix(CORPUS.member + "/")}


CORPUS = Corpus(
    package="paddlex",
    version="3.7.2",
    archive="paddlex-3.7.2.tar.gz",
    sha256="6a60b4595e2d51460f7f51326672adca86b89ff9ecfd02ac348fb69739e0093c",
    member="paddlex-3.7.2/docs",
    about="PaddleX's documentation, technical Chinese and English in Markdown",
    licence="Apache-2.0",
    records=_records,
)
