"""The vocabulary of CONTRIBUTING.md: phrases that a page may not have, and source ever less."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TOPS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
GENERATED = {"settings.md"}
"""Pages that are made of texts in the source."""
VOCABULARY = "## Vocabulary"
PHRASES = {
    r"(bits|nats|values|rows|tokens|records|documents|MB/s|core-hours|bytes|lines|comments|seconds"
    r"|characters|processes|steps|sentences|pairs|texts|runs) an? (byte|token|document|batch|core"
    r"|record|row|line|step|second|sentence|language|text|device|file|run|process|word|month|day"
    r"|week|hour|shard|page|pair|prompt|expert|layer|level)": 1,
    r"mend(s|ed|ing)?": 7,
    r"told|tells? of": 6,
    r"(goes|go|went|going) on": 0,
    r"anew": 7,
    r"of (its|their|his) own": 14,
    r"nobody": 1,
    r"likewise": 1,
    r"for good": 4,
    r"(has|have|had) got": 0,
    r"of late": 0,
    r"Nothing, where|Nothing; raises": 0,
    r"knock": 0,
}
"""Phrase -> how often the source still has it; the number may only fall."""


SOURCE = {
    path: path.read_text(encoding="utf-8")
    for top in TOPS
    for path in sorted((ROOT / top).rglob("*.py"))
}


def found(phrase: str, text: str) -> list[str]:
    """Return the places of a phrase with some text around them."""
    places = re.finditer(rf"\b(?:{phrase})\b", text, re.IGNORECASE)
    return [text[max(0, p.start() - 30) : p.end() + 30] for p in places]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_has_none_of_the_phrases(page: Path) -> None:
    if page.name in GENERATED:
        return
    text = " ".join(page.read_text(encoding="utf-8").split(VOCABULARY)[0].split())
    assert [hit for phrase in PHRASES for hit in found(phrase, text)] == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_source_has_a_phrase_no_more_often_than_before(phrase: str) -> None:
    hits = [f"{path}: {hit}" for path, text in SOURCE.items() for hit in found(phrase, text)]
    assert len(hits) <= PHRASES[phrase], "\n".join(hits)


def test_a_phrase_is_seen() -> None:
    per = next(iter(PHRASES))
    assert found(per, "It has 3.2 bits a byte here") and not found(per, "3.2 bits per byte")
    assert found("mend(s|ed|ing)?", "how to mend it") and not found("mend(s|ed|ing)?", "recommend")
