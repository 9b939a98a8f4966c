"""Level 1: rejects what is no readable text in a wanted language, and says by which measure.

Each rule is a row of `format_rules.RULES`: a share of a text's characters and the setting that
bounds it. The thresholds stand well outside what clean text of any genre shows (Markdown with code,
tables, statutes, reviews of five characters); docs/levels/l1_format.md has the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.spark_jobs.levels.base import Level, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.spark_jobs.texts import Texts


class FormatLimits(Settings):
    """What level 1 lets pass."""

    max_undecodable: float = Field(default=0.02, ge=0, le=1)
    """Largest share of U+FFFD, which decoders put in place of invalid bytes."""
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


class FormatSettings(FormatLimits):
    """What level 1 is called with."""

    languages: tuple[str, ...] = ("zh", "en")
    """Languages that are kept: `input.languages` of a curation."""


def score(texts: Texts, settings: FormatSettings) -> dict[str, pa.Array[Any]]:
    """Return the measure of each rule, in private columns."""
    from headrace.spark_jobs.levels import format_rules

    return format_rules.score(texts, settings)


def decide(records: pa.Table, settings: FormatSettings) -> Verdict:
    """Reject records without usable text, by `RULES`, and by language."""
    from headrace.spark_jobs.levels import format_rules

    return format_rules.decide(records, settings)


FORMAT = Level(
    name="format",
    columns=(),
    reasons=(
        "no_text", "undecodable", "control", "private_use", "mojibake", "repeated", "encoded",
        "line_noise", "markup", "too_short", "language", "empty",
    ),
    settings=FormatSettings,
    section=FormatLimits,
    score=score,
    decide=decide,
)  # fmt: skip
