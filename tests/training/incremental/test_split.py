from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.lineage import is_heldout
from headrace.training.incremental.split import (
    FEWEST,
    SHARE,
    TARGET,
    split_validation,
    split_window,
)


def window(numbers: list[int]) -> pa.Table:
    return pa.table(
        {"content_hash": [f"{n:032x}" for n in numbers], "text": [str(n) for n in numbers]}
    )


@given(st.sets(st.integers(0, 2**128 - 1), max_size=300).map(list))
def test_split_is_a_partition_that_never_trains_on_what_is_held_out_for_good(n: list[int]) -> None:
    train, held = split_window(window(n))
    hashes = [t["content_hash"].to_pylist() for t in (train, held)]
    assert sorted(hashes[0] + hashes[1]) == sorted(f"{x:032x}" for x in n)
    assert not any(map(is_heldout, hashes[0]))
    for_good = sum(x % 50 == 0 for x in n)
    assert len(held) <= max(for_good, TARGET, FEWEST)
    assert len(held) - for_good <= max(FEWEST, SHARE * len(n))
    backwards = split_window(window(n[::-1]))
    assert backwards[0].equals(train) and backwards[1].equals(held)


@pytest.mark.parametrize(
    ("records", "held"),
    [(20, 10), (34, 17), (40, 20), (133, 20), (150, 22), (200, 30), (3000, 60), (1, 0), (0, 0)],
)
def test_as_many_are_held_out_as_the_gate_can_decide_on(records: int, held: int) -> None:
    """Records 1…n: every fiftieth is held out for good."""
    assert len(split_window(window(list(range(1, records + 1))))[1]) == held


def test_more_records_of_the_window_keep_the_split_of_the_others() -> None:
    """Order by hash, so what is held out is decided by the records, not by their places."""
    train, held = split_window(window([7, 3, 9, 1, 5, 11, 13, 15, 17, 19]))
    assert held["text"].to_pylist() == ["1", "3", "5", "7", "9"]
    assert train["text"].to_pylist() == ["11", "13", "15", "17", "19"]


def test_validation_is_apart() -> None:
    train, valid = split_validation(window(list(range(100))), 0.1, 48)
    assert len(valid) == 10 and len(train) == 90
    assert not set(train["text"].to_pylist()) & set(valid["text"].to_pylist())
    assert len(split_validation(window(list(range(1000))), 0.1, 48)[1]) == 48
