"""The order of levels, and what becomes of records that no level can look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.infra.configuration.settings import Settings
from headrace.infra.level_facts import Score
from headrace.infra.schemas import VERDICT, scored
from headrace.spark_jobs.curate.level_runner import codes_of, decide
from headrace.spark_jobs.levels.base import Level, Verdict, passed
from headrace.spark_jobs.levels.l2_semantics import SCORE
from headrace.spark_jobs.reading.records import RECORD
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.texts import Texts

ENGLISH = "The committee will meet again on Thursday to discuss the plan for the new library."


def records(texts: list[str | None]) -> pa.Table:
    n = len(texts)
    return pa.table(
        {
            "id": [str(k) for k in range(n)],
            "text": texts,
            "source": ["s"] * n,
            "position": range(n),
            "content_hash": ["0" * 32] * n,
            "created": [None] * n,
            "metadata": ["{}"] * n,
            "repairs": [0] * n,
        },
        schema=RECORD,
    )


def level(
    name: str,
    reject: Callable[[pa.Table], pa.Array[Any]] | None = None,
    score: Callable[[Texts], dict[str, pa.Array[Any]]] = lambda texts: {},
    columns: tuple[Score, ...] = (),
    reasons: tuple[str, ...] = ("rule",),
) -> Level[Any]:
    def decided(table: pa.Table, settings: Settings) -> Verdict:
        if reject is None:
            return passed(table.num_rows)
        hit = reject(table)
        nothing = pa.scalar(None, pa.string())
        return Verdict(pc.if_else(hit, f"{name}.rule", nothing), pc.if_else(hit, "seen", nothing))

    return Level(name, columns, reasons, Settings, lambda texts, _: score(texts), decided)


def verdicts(texts: list[str | None], *levels: Level[Any]) -> list[tuple[str | None, ...]]:
    table = decide(records(texts), CurateSettings(), 1, levels)
    assert table.schema == pa.schema([*scored(levels), *VERDICT])
    return [tuple(r[k] for k in ("level", "reason", "detail")) for r in table.to_pylist()]


def test_the_first_level_that_fails_rejects() -> None:
    everything = level("facts", lambda t: pa.array([True] * t.num_rows))
    second = level("bias", lambda t: pa.array([True] * t.num_rows))
    only_last = level("format", lambda t: pc.equal(t["position"].combine_chunks(), pa.scalar(1)))
    found = verdicts([ENGLISH, ENGLISH], only_last, everything, second)
    assert found == [("facts", "facts.rule", "seen"), ("format", "format.rule", "seen")]
    assert verdicts([ENGLISH], level("format")) == [(None, None, None)]


def test_scores_go_to_usable_texts_only_and_whatever_rejects_them() -> None:
    def score(texts: Texts) -> dict[str, pa.Array[Any]]:
        assert texts.text.to_pylist() == [ENGLISH, ENGLISH + "!"]
        return {
            "semantic_score": pa.array([0.25, 0.5], pa.float32()),
            "_private": pa.array([1, 2]),
        }

    reject_all = level("format", lambda t: pa.array([True] * t.num_rows))
    uses_private = level(
        "semantics",
        lambda t: pc.equal(t["_private"].combine_chunks(), pa.scalar(2)),
        score,
        (SCORE,),
    )
    table = decide(
        records([None, ENGLISH, " \n\u3000", ENGLISH + "!"]),
        CurateSettings(),
        1,
        (reject_all, uses_private),
    )
    assert table["semantic_score"].to_pylist() == [None, 0.25, None, 0.5]
    assert table["lang"].to_pylist() == ["und", "en", "und", "en"]
    assert table["domain"].to_pylist() == ["none"] * 4
    assert table["level"].to_pylist() == ["format"] * 4
    assert "_private" not in table.column_names


def test_nothing_without_text_is_kept_whatever_the_levels_say() -> None:
    assert verdicts([None, "", " \t", ENGLISH], level("format")) == [
        ("format", "format.empty", None)
    ] * 3 + [(None, None, None)]


def test_odd_languages_and_domains_never_become_folder_names() -> None:
    def score(texts: Texts) -> dict[str, pa.Array[Any]]:
        return {"domain": pa.array(["../up", "legal"])}

    table = decide(records([ENGLISH] * 2), CurateSettings(), 1, (level("domain", None, score),))
    assert table["domain"].to_pylist() == ["none", "legal"]


def test_a_reason_that_the_level_does_not_declare_is_an_error() -> None:
    undeclared = level("bias", lambda t: pa.array([True] * t.num_rows), reasons=("other",))
    with pytest.raises(ValueError, match=r"bias doesn't declare its reason bias\.rule"):
        verdicts([ENGLISH], undeclared)


def test_no_records() -> None:
    assert verdicts([], level("format")) == []


def test_codes() -> None:
    assert codes_of(pa.array(["zh", "en", "fr", None])).tolist() == [1, 2, 0, 0]
    assert codes_of(pa.array(["zh"])).dtype == np.int8
