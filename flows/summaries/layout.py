"""How a screen is laid out: titles between rules, and names beside values."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.infra.visible import visible

WIDTH = 78
NAMED = 5
"""Files or runs of a kind that a screen names."""


def rule(title: str = "") -> str:
    """A line across the screen."""
    return f"── {title} ".ljust(WIDTH, "─") if title else "─" * WIDTH


def table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """A line per name and value."""
    # A name that is too long for its column still stands apart from the value.
    return [f"  {visible(name):<20}  {visible(value)}" for name, value in rows]
