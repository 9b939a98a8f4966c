"""The guides of Django's documentation, English reStructuredText, by section.

Technical prose as it stands on the web and in repositories: headings, lists, links, short code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, members, sections

_GUIDES = ("faq", "howto", "internals", "intro", "misc", "topics")
"""The rest is reference (ref) and lists of changes (releases)."""
_HEADING = re.compile(r"(?m)^(?=\S.*\n={3,}$)")


def _records(archive: Path) -> Iterator[Record]:
    for guide in _GUIDES:
        for name, data in members(archive, f"{CORPUS.member}/{guide}", ".txt"):
            for text in sections(data.decode("utf-8"), _HEADING):
                yield {"text": text, "section": name.removeprefix(CORPUS.member + "/")}


CORPUS = Corpus(
    package="django",
    version="5.2.8",
    archive="django-5.2.8.tar.gz",
    sha256="23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f",
    member="django-5.2.8/docs",
    about="Django's guides, technical English in reStructuredText",
    licence="BSD-3-Clause",
    records=_records,
)
