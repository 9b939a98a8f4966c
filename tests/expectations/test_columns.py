"""Columns that both sides have, as tests and as numbers."""

import numpy as np
import pyarrow as pa

from headrace.expectations.columns import LENGTH, MIX, Columns
from headrace.expectations.two_sample import blocks, units_of

REFERENCE = pa.table(
    {
        "text": ["a" * n for n in range(1, 41)],
        "lang": ["zh", "en"] * 20,
        "domain": ["legal"] * 20 + [None] * 20,
        "semantic_score": pa.array([0.5] * 39 + [None], pa.float32()),
    }
)
WINDOW = REFERENCE.slice(0, 20)
UNITS = units_of(blocks(40, 1), blocks(20, 1), 49, 0)


def test_columns_of_both_sides_and_their_mix() -> None:
    columns = Columns.of(REFERENCE, WINDOW)
    assert set(columns.categories) == {"lang", "domain", MIX}
    assert set(columns.numbers) == {"semantic_score", LENGTH}
    assert columns.categories[MIX][:2].tolist() == ["zh legal", "en legal"]
    assert columns.categories["domain"][30] == "none"
    fewer = Columns.of(REFERENCE.drop_columns(["domain"]), WINDOW)
    assert set(fewer.categories) == {"lang"}


def test_a_column_of_one_value_is_shown_but_not_tested() -> None:
    outcomes, distributions = Columns.of(REFERENCE, WINDOW).tests(UNITS)
    assert {o.name for o in outcomes} == {"lang", "domain", MIX, LENGTH}
    assert {d.name for d in distributions} == {"lang", "domain", MIX, LENGTH}
    same = REFERENCE.set_column(1, "lang", pa.array(["zh"] * 40))
    outcomes, distributions = Columns.of(same, same.slice(0, 20)).tests(UNITS)
    assert "lang" not in {o.name for o in outcomes}
    assert "lang" in {d.name for d in distributions}
    assert all(abs(sum(d.window) - 1) < 1e-9 for d in distributions)


def test_the_channel_weighs_each_column_alike_and_knows_no_gaps() -> None:
    channel = Columns.of(REFERENCE, WINDOW).channel()
    assert channel.shape == (60, 6) and np.isfinite(channel).all()
    assert np.allclose(channel.mean(axis=0), 0)
    spread = channel.std(axis=0)
    assert np.allclose(spread[spread > 0], 1 / np.sqrt(6))


def test_documents_can_be_put_in_another_order() -> None:
    columns = Columns.of(REFERENCE, WINDOW)
    turned = columns.take(np.arange(60)[::-1])
    assert turned.categories["lang"].tolist() == columns.categories["lang"][::-1].tolist()
    assert np.array_equal(turned.numbers[LENGTH], columns.numbers[LENGTH][::-1])
