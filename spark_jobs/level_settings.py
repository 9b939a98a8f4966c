"""Settings of the five levels, apart from their kernels: a slip in one is reported at once."""

from __future__ import annotations

import difflib

from pydantic import Field, field_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings

PIVOT = 0.7
"""The semantic score of the calibrated point."""
DOMAINS = ("general", "legal", "medical", "financial")
"""Domains that have a model."""


class FormatLimits(Settings):
    """What level 1 lets pass."""

    max_undecodable: float = Field(default=0.02, ge=0, le=1)
    """Largest share of U+FFFD, what decoders put where bytes were no text."""
    max_control: float = Field(default=0.02, ge=0, le=1)
    """Largest share of control characters."""
    max_private_use: float = Field(default=0.1, ge=0, le=1)
    """Largest share of private-use characters (old fonts, old phones' emoji)."""
    max_mojibake: float = Field(default=0.05, ge=0, le=1)
    """Largest share of UTF-8 that was decoded as Latin-1, Windows-1252 or GBK."""
    max_encoded: float = Field(default=0.5, ge=0, le=1)
    """Largest share in runs of at least 120 letters of base64 or hexadecimal without a break."""
    max_repeated: float = Field(default=0.75, ge=0, le=1)
    """Largest share of visible characters in one run of one character."""
    min_letters: float = Field(default=0.25, ge=0, le=1)
    """Smallest share of letters and digits among visible characters."""
    max_markup: float = Field(default=0.6, ge=0, le=1)
    """Largest share of characters in HTML or XML tags."""
    min_length: int = Field(default=3, ge=0)
    """Smallest number of letters and digits; a Han character counts as two."""


class SemanticsSettings(Settings):
    """What level 2 lets pass."""

    threshold: float = Field(default=PIVOT, ge=0, le=1)
    """Smallest semantic score that is kept."""


class FactsSettings(Settings):
    """What level 3 does with its verdicts."""

    enabled: bool = True
    """Whether refuted documents are rejected; verdicts are stored in any case."""


class BiasSettings(Settings):
    """What level 4 rejects."""

    threshold: float = Field(default=0.3, ge=0, le=1)
    """A document with a higher score is rejected."""


class DomainSettings(Settings):
    """Which domains are wanted."""

    targets: dict[str, float] = dict.fromkeys(DOMAINS, 0.5)
    """Domain -> score in [0, 1] from which a text belongs to it."""

    @field_validator("targets")
    @classmethod
    def _known(cls, targets: dict[str, float]) -> dict[str, float]:
        for name, threshold in targets.items():
            if name not in DOMAINS:
                near = difflib.get_close_matches(name.lower(), DOMAINS, 1, 0.5)
                raise SettingError(
                    f"no model for domain {name!r}; known: {', '.join(DOMAINS)}",
                    f"did you mean {near[0]}?" if near else "take one of those that are known",
                )
            if not 0 <= threshold <= 1:
                raise SettingError(f"threshold of {name} is {threshold}", "give 0 to 1")
        if not targets:
            raise SettingError(
                "no target: nothing could be kept", f"give some of {', '.join(DOMAINS)}"
            )
        return targets
