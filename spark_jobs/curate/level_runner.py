"""Scores and verdict of a batch of records: language, all levels in order, the first that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra.configuration.setting_tree import values
from headrace.infra.schemas import SCORED, VERDICT
from headrace.spark_jobs.kernels import language
from headrace.spark_jobs.kernels.utf8 import blank_slices
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.levels.base import EN, OTHER, ZH, Level, Texts
from headrace.spark_jobs.settings import CurateSettings

UNKNOWN = "und"
"""Language of a record without usable text (ISO 639-2: undetermined)."""
NO_DOMAIN = "none"
"""Domain of a record that has no score for any."""


def codes_of(lang: pa.Array) -> npt.NDArray[np.int8]:
    """(N,) codes of language names."""
    zh = pc.fill_null(pc.equal(lang, "zh"), False).to_numpy(zero_copy_only=False)
    en = pc.fill_null(pc.equal(lang, "en"), False).to_numpy(zero_copy_only=False)
    return np.where(zh, ZH, np.where(en, EN, OTHER)).astype(np.int8)


def _usable(text: pa.Array) -> npt.NDArray[np.bool_]:
    """(N,) whether there is text, and more in it than white space."""
    filled = Texts(pc.fill_null(text, ""), np.zeros(len(text), np.int8))
    return ~blank_slices(filled.data, filled.offsets[:-1], filled.offsets[1:])


def level_settings(level: Level, settings: CurateSettings) -> Any:
    """What a level is called with: its own part of the settings."""
    own = getattr(settings, level.name)
    if "languages" in level.settings.model_fields:
        return level.settings(**{**dict(values(own)), "languages": settings.input.languages})
    return own


def decide(
    records: pa.Table,
    settings: CurateSettings,
    seed: int,
    levels: tuple[Level, ...] = LEVELS,
) -> pa.Table:
    """Columns SCORED and VERDICT of N records, in their order."""
    n = records.num_rows
    if not n:
        return pa.schema([*SCORED, *VERDICT]).empty_table()
    text = records["text"].combine_chunks()
    usable = _usable(text)
    where = np.cumsum(usable) - 1
    spread = None if usable.all() else pa.array(where, mask=~usable)

    def full(values: pa.Array) -> pa.Array:
        """Values of the usable records, null at the others."""
        return values if spread is None else values.take(spread)

    some = text if spread is None else text.filter(pa.array(usable))
    lang, lang_score, codes = language.identify(some, seed)
    texts = Texts(some, codes)
    columns: dict[str, pa.Array] = {name: records[name] for name in records.column_names}
    columns["lang"] = _plain_code(full(lang))
    columns["lang_score"] = full(lang_score)
    for level in levels:
        scores = level.score(texts, level_settings(level, settings))
        columns |= {name: full(values) for name, values in scores.items()}
    for field in SCORED:
        if field.name not in columns:
            columns[field.name] = pa.nulls(n, field.type)
    columns["domain"] = _known_domain(columns["domain"], settings)
    table = pa.table(columns)
    found = pa.nulls(n, pa.string())
    reason, detail = found, found
    for level in levels:
        verdict = level.decide(table, level_settings(level, settings))
        new = pc.and_(pc.is_null(found), pc.is_valid(verdict.reason))
        found = pc.if_else(new, level.name, found)
        reason = pc.if_else(new, verdict.reason, reason)
        detail = pc.if_else(new, verdict.detail, detail)
    # Whatever the levels say, nothing without usable text may be kept.
    left = pc.and_(pc.is_null(found), pa.array(~usable))
    found = pc.if_else(left, "format", found)
    reason = pc.if_else(left, "format.empty", reason)
    out = {name: table[name].cast(SCORED.field(name).type) for name in SCORED.names}
    return pa.table(
        {**out, "level": found, "reason": reason, "detail": detail},
        schema=pa.schema([*SCORED, *VERDICT]),
    ).combine_chunks()


def _plain_code(lang: pa.Array) -> pa.Array:
    """Language codes of two or three letters, `und` for all else: they become folder names."""
    lang = pc.fill_null(lang, UNKNOWN)
    return pc.if_else(pc.match_substring_regex(lang, "^[a-z]{2,3}$"), lang, UNKNOWN)


def _known_domain(domain: pa.Array, settings: CurateSettings) -> pa.Array:
    """Domains among the targets, `none` for all else: they become folder names."""
    known = pc.is_in(domain, pa.array(sorted(settings.domain.targets), pa.string()))
    return pc.if_else(known, domain, NO_DOMAIN)
