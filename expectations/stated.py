"""What the manifests of releases and token shards state, as far as expectations look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from headrace.infra.releases import FileEntry

Setting = bool | int | float | str | list[str] | dict[str, float]
Section = Mapping[str, Setting]
"""Settings of a level, of the input or of deduplication."""
CurationConfig = Mapping[str, Section]
"""The settings of a curation, by section: `input`, `dedup`, and one for each level."""


def number(section: Section, name: str) -> float:
    """Return a setting that is a number."""
    value = section[name]
    assert isinstance(value, int | float), name
    return value


def switch(section: Section, name: str) -> bool:
    """Return a setting that is true or false."""
    value = section[name]
    assert isinstance(value, bool), name
    return value


def words(section: Section, name: str) -> list[str]:
    """Return a setting that is a list of words."""
    value = section[name]
    assert not isinstance(value, bool | int | float | str | dict), name
    return list(value)


def numbers(section: Section, name: str) -> dict[str, float]:
    """Return a setting that gives each of some words a number."""
    value = section[name]
    assert isinstance(value, dict), name
    return value


class TokensManifest(TypedDict):
    """The manifest of token shards."""

    tokens: int
    heldout_tokens: int
    vocabulary: int
    sequence_length: int
    files: list[FileEntry]
