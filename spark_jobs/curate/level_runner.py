"""Scores and verdict of a batch of records: language, all levels in order, the first that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import arrow
from headrace.infra.arrow import Strings
from headrace.infra.schemas import VERDICT, scored
from headrace.spark_jobs.kernels import language
from headrace.spark_jobs.kernels.utf8 import blank_slices
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.levels.base import Level, Verdict
from headrace.spark_jobs.levels.l1_format import FORMAT
from headrace.spark_jobs.levels.l5_domain import DOMAIN
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.texts import EN, OTHER, ZH, Texts

UNKNOWN = "und"
"""Language of a record without usable text (ISO 639-2: undetermined)."""
NO_DOMAIN = "none"
"""Domain of a record that has no score for any."""
NO_TEXT, EMPTY = (f"{FORMAT.name}.{rule}" for rule in ("no_text", "empty"))
"""Reasons of records without usable text."""


def codes_of(lang: Strings) -> npt.NDArray[np.int8]:
    """(N,) codes of language names."""
    zh, en = (arrow.mask(pc.equal(lang, pa.scalar(c)).fill_null(False)) for c in ("zh", "en"))
    return np.where(zh, ZH, np.where(en, EN, OTHER)).astype(np.int8)


def _usable(text: Strings) -> npt.NDArray[np.bool_]:
    """(N,) whether there is text, and more in it than white space."""
    filled = Texts(arrow.fill_null(text, ""), np.zeros(len(text), np.int8))
    return ~blank_slices(filled.data, filled.offsets[:-1], filled.offsets[1:])


def decide(
    records: pa.Table,
    settings: CurateSettings,
    seed: int,
    levels: tuple[Level[Any], ...] = LEVELS,
) -> pa.Table:
    """Columns of `scored(levels)` and VERDICT of N records, in their order."""
    stored = scored(levels)
    n = records.num_rows
    if not n:
        return pa.schema([*stored, *VERDICT]).empty_table()
    text = records["text"].combine_chunks()
    usable = _usable(text)
    where = np.cumsum(usable) - 1
    spread = None if usable.all() else pa.array(where, mask=~usable)

    def full(values: pa.Array[Any]) -> pa.Array[Any]:
        """Values of the usable records, null at the others."""
        return values if spread is None else values.take(spread)

    some = text if spread is None else text.filter(pa.array(usable))
    lang, lang_score, codes = language.identify(some, seed)
    texts = Texts(some, codes)
    columns: dict[str, pa.Array[Any]] = {
        name: records[name].combine_chunks() for name in records.column_names
    }
    columns["lang"] = _plain_code(full(lang))
    columns["lang_score"] = full(lang_score)
    for level in levels:
        scores = level.score(texts, settings.of(level))
        columns |= {name: full(values) for name, values in scores.items()}
    for field in stored:
        if field.name not in columns:
            columns[field.name] = pa.nulls(n, field.type)
    columns["domain"] = _known_domain(columns["domain"], settings)
    table = pa.table(columns)
    place = reason = detail = pa.nulls(n, pa.string())
    for level in levels:
        verdict = level.decide(table, settings.of(level))
        _check_reasons(level, verdict)
        new = pc.and_(pc.is_null(place), pc.is_valid(verdict.reason))
        place = pc.if_else(new, level.name, place)
        reason = pc.if_else(new, verdict.reason, reason)
        detail = pc.if_else(new, verdict.detail, detail)
    # Whatever the levels say, nothing without usable text may be kept.
    left = pc.and_(pc.is_null(place), pa.array(~usable))
    place = pc.if_else(left, FORMAT.name, place)
    reason = pc.if_else(left, EMPTY, reason)
    out = [columns[field.name].cast(field.type) for field in stored]
    return pa.Table.from_arrays(
        [*out, place, reason, detail], schema=pa.schema([*stored, *VERDICT])
    )


def _check_reasons(level: Level[Any], verdict: Verdict) -> None:
    """Raise unless the level rejects by reasons that it declares.

    Raises:
        ValueError: by another one, which no reader of the ledger would know.
    """
    declared = {f"{level.name}.{rule}" for rule in level.reasons}
    given = {str(reason) for reason in verdict.reason.drop_null().unique().to_pylist()}
    if unknown := given - declared:
        raise ValueError(f"level {level.name} doesn't declare its reason {min(unknown)}")


def _plain_code(lang: Strings) -> Strings:
    """Language codes of two or three letters, `und` for all else: they become folder names."""
    lang = arrow.fill_null(lang, UNKNOWN)
    plain: Strings = pc.if_else(pc.match_substring_regex(lang, "^[a-z]{2,3}$"), lang, UNKNOWN)
    return plain


def _known_domain(domain: Strings, settings: CurateSettings) -> Strings:
    """Domains among the targets, `none` for all else: they become folder names."""
    known = pc.is_in(domain, pa.array(sorted(settings.of(DOMAIN).targets), pa.string()))
    named: Strings = pc.if_else(known, domain, NO_DOMAIN)
    return named
