"""The order in which documents came: as read, by their source, by day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.expectations.arrival import CREATED, GROUP, reference_order, window_order

CENTERS = 2.0 * np.random.default_rng(9).normal(size=(400, 16))


def side(groups: np.ndarray, seed: int, **columns: Any) -> tuple[pa.Table, np.ndarray]:
    """Documents of these groups: a table, and their points."""
    draw = np.random.default_rng(seed)
    table = pa.table({"text": [str(i) for i in range(len(groups))], **columns})
    return table, CENTERS[groups] + draw.normal(size=(len(groups), 16))


def shuffled(groups: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(groups)


REFERENCE = side(np.arange(200), 1)
RUNS = np.repeat(np.arange(200, 220), 10)
"""A window of 20 sources with 10 documents each."""


def order_of(
    window: tuple[pa.Table, np.ndarray], reference: tuple[pa.Table, np.ndarray] = REFERENCE
) -> Any:
    channel = np.vstack([reference[1], window[1]])
    return window_order(reference[0], window[0], [channel], 0)


def test_documents_one_by_one_stay_as_they_were_read() -> None:
    found = order_of(side(shuffled(np.arange(200, 400), 2), 3))
    assert (found.by, found.run) == ("position", 1.0)


def test_neighbors_in_a_file_are_runs() -> None:
    found = order_of(side(RUNS, 4))
    assert found.by == "position" and 6 < found.run < 25


def test_pages_of_one_site_that_are_mixed_in_a_file_are_runs() -> None:
    groups = shuffled(RUNS, 5)
    named = [f"https://site{g}.example/" for g in groups]
    found = order_of(side(groups, 6, **{GROUP: named}))
    assert found.by == "source" and 6 < found.run < 25
    assert (np.diff(groups[found.rows]) != 0).sum() == 19, "each site's pages stand together"
    assert order_of(side(groups, 6)).run == 1, "without names the order shows nothing"


def test_a_source_that_the_reference_has_too_is_a_part_of_the_mix() -> None:
    groups = shuffled(np.repeat(np.arange(5), 40), 7)
    names = [f"source {g}" for g in groups]
    known = side(np.repeat(np.arange(5), 40), 8, **{GROUP: [f"source {i % 5}" for i in range(200)]})
    assert order_of(side(groups, 9, **{GROUP: names}), known).run == 1
    assert order_of(side(groups, 9, **{GROUP: names})).run > 10


def test_articles_of_one_day_are_runs() -> None:
    groups = shuffled(RUNS, 10)
    days = [datetime(2026, 5, 1, i % 24, tzinfo=UTC) + timedelta(days=int(g)) for i, g in
            enumerate(groups)]  # fmt: skip
    found = order_of(side(groups, 11, **{CREATED: days}))
    assert found.by == "day" and 6 < found.run < 25


def test_documents_without_a_source_or_a_day_stay_where_they_are() -> None:
    groups = np.arange(200, 400)
    names = [None if i % 2 else "one" for i in range(200)]
    found = order_of(side(groups, 12, **{GROUP: names, CREATED: [None] * 200}))
    assert (found.by, found.run) == ("position", 1.0)


def test_a_first_delivery_of_something_new_leaves_the_rest_document_by_document() -> None:
    """140 documents of the mix, then 60 of one new source; and 110, 60, 30 of two."""
    draw = np.random.default_rng(13)
    for parts in ([60], [60, 30]):
        known = draw.integers(0, 200, 200 - sum(parts))
        new = [np.full(n, 300 + i) for i, n in enumerate(parts)]
        assert order_of(side(np.concatenate([known, *new]), 14)).run == 1
        assert order_of(side(np.concatenate([*new, known]), 15)).run == 1


def test_runs_that_happen_to_be_of_one_kind_are_no_ordinary_half() -> None:
    """Three runs of one source and one of another: the half without runs isn't like the mix."""
    groups = np.repeat([300, 300, 300, 301], 50)
    assert order_of(side(groups, 16)).run > 20


def test_a_reference_is_cut_like_the_window() -> None:
    table, points = side(np.repeat(np.arange(4), 100), 17)
    assert reference_order(table, "position", 20.0, [points], 0).run == 20
    table, points = side(shuffled(np.repeat(np.arange(4), 100), 18), 19)
    assert reference_order(table, "position", 20.0, [points], 0).run == 1
    assert reference_order(table, "day", 1.0, [points], 0).by == "day"
