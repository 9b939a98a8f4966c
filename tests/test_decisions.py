"""Decisions are pages of one form, and the list has all of them."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_decision_says_what_why_and_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "What", "Why", "Measured", "What it costs",
    ]  # fmt: skip
    assert len(text.splitlines()) <= 40, "one short page"
    measured = text.split("## Measured")[1].split("## What it costs")[0]
    assert re.search(r"tests/[\w/]+\.py|\.\./[\w/-]+\.md", measured), "no command, test or page"


def test_the_list_has_every_decision_in_order() -> None:
    listed = re.findall(r"^\| \[([\w.-]+)\]", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert listed == [page.name for page in PAGES]
    assert [int(name[:3]) for name in listed] == list(range(1, len(listed) + 1))
