"""What the manifests of releases and token shards state, as far as expectations look at it."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Totals(TypedDict):
    """Numbers of records of a release."""

    read: int
    kept: int
    rejected: dict[str, int]
    """By level."""
    unreadable: int
    repaired: NotRequired[int]
    """Missing in releases from before repairs were counted."""


class InputConfig(TypedDict):
    """How input was read."""

    languages: list[str]


class ThresholdConfig(TypedDict):
    """Settings of a level with one threshold."""

    threshold: float


class SwitchConfig(TypedDict):
    """Settings of a level that can be switched off."""

    enabled: bool


class DomainConfig(TypedDict):
    """Settings of level 5."""

    targets: dict[str, float]
    """Threshold of each target domain."""


class CurationConfig(TypedDict):
    """The settings of a curation that decide what a kept record may be."""

    input: InputConfig
    semantics: ThresholdConfig
    facts: SwitchConfig
    bias: ThresholdConfig
    domain: DomainConfig
    dedup: SwitchConfig


class StatedFile(TypedDict):
    """A file of a release or of token shards."""

    path: str
    bytes: int
    sha256: str
    rows: NotRequired[int]
    """Only Parquet files have them."""


class TokensManifest(TypedDict):
    """The manifest of token shards."""

    tokens: int
    heldout_tokens: int
    vocabulary: int
    sequence_length: int
    files: list[StatedFile]
