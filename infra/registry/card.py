"""The model card of an export, as the pages of MLflow's registry show it."""

from __future__ import annotations

from pathlib import Path

LENGTH = 5_000
"""Characters that MLflow's tables hold of a description."""


def card(export: Path) -> str | None:
    """Return the model card, without the front matter that only a model hub reads."""
    path = export / "README.md"
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    return text.strip()[:LENGTH]


def champion_card(version: str, description: str | None) -> str:
    """Return the description of a registered model: the figures of its champion's card.

    Above the list of versions there is room for the figures only; the version's page has the rest.
    """
    figures = (description or "").split("\n## ")[0].rstrip()
    return f"Champion: version {version}, whose page has the whole card.\n\n{figures}"[:LENGTH]
