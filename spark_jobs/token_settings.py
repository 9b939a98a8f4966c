"""Settings of the tokens: apart from a curation's, so that a level's code decides no tokens."""

from __future__ import annotations

from pydantic import Field

from headrace.infra.configuration.settings import Settings

LEAST_VOCABULARY = 5 + 256
"""Special tokens and bytes: a tokenizer without one merge."""


class TokenizeSettings(Settings):
    """What decides the tokens."""

    vocabulary: int = Field(default=2048, ge=LEAST_VOCABULARY)
    """Tokens of the tokenizer, 5 special ones and 256 bytes included."""
    sequence_length: int = Field(default=256, ge=8)
    """Tokens per row."""
    sample_bytes: int = Field(default=12_000_000, ge=1)
    """Text that the tokenizer is trained on, in bytes, balanced over languages and domains."""
    shard_bytes: int = Field(default=64_000_000, ge=1)
    """Approximate text per shard, in bytes."""
