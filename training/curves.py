"""How the figures of a training are plotted; declared beside what writes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """One plot over the steps of a stage."""

    title: str
    keys: dict[str, str]
    """Key in metrics.jsonl: what the legend calls it."""
    ylabel: str
    caption: str = ""
