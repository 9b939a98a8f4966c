"""Mixtures of what is known: in the shares asked for, and those nearest to a window."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.expectations.mixtures import mixed, nearest_shares


def documents(topics: list[int], seed: int) -> list[str]:
    """A text of 30 words for each topic number."""
    draw = np.random.default_rng(seed)
    return [" ".join(f"{'abcdefgh'[t] * 3}{n}" for n in draw.integers(0, 50, 30)) for t in topics]


def part(name: str, rows: int, **more: list[int]) -> pa.Table:
    return pa.table({"text": [f"{name}{i}" for i in range(rows)], **more})


@given(
    st.lists(st.tuples(st.integers(0, 200), st.floats(0, 5)), min_size=1, max_size=4).filter(
        lambda parts: any(n and s for n, s in parts)
    ),
    st.integers(1, 300),
)
def test_a_mixture_keeps_to_its_shares(parts: list[tuple[int, float]], most: int) -> None:
    tables = [part("abcd"[i], n) for i, (n, _) in enumerate(parts)]
    found = mixed(tables, [s for _, s in parts], most, 0)
    texts = found["text"].to_pylist()
    assert len(texts) == len(set(texts)) <= most
    total = sum(s for n, s in parts if n)
    for i, (n, s) in enumerate(parts):
        own = [t for t in texts if t[0] == "abcd"[i]]
        assert own == sorted(own, key=lambda t: int(t[1:])), "not in the order of the part"
        if n:
            # Each part is rounded down.
            assert abs(len(own) - s / total * len(texts)) <= len(parts)


def test_as_many_documents_as_the_scarcest_part_allows() -> None:
    assert mixed([part("a", 1000), part("b", 30)], [1, 3], 4000, 0).num_rows == 40
    assert mixed([part("a", 1000), part("b", 0)], [1, 3], 4000, 0).num_rows == 1000


def test_columns_that_all_parts_have_are_kept() -> None:
    found = mixed([part("a", 5, x=[1] * 5), part("b", 5)], [1, 1], 10, 0)
    assert found.column_names == ["text"]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_nearest_shares_are_those_that_a_window_was_drawn_in(share: float) -> None:
    parts = [pa.table({"text": documents([t] * 300, t)}) for t in (1, 2, 3)]
    count = round(200 * share)
    window = pa.table({"text": documents([1] * (200 - count) + [2] * count, 9)})
    found = nearest_shares(parts, window, 2048, 1024, 0)
    assert sum(found) == pytest.approx(1)
    assert np.allclose(found, [1 - share, share, 0], atol=0.08)
    assert nearest_shares(parts, window, 2048, 1024, 0) == found


def test_of_a_window_that_is_like_nothing_known_there_are_shares_too() -> None:
    parts = [pa.table({"text": documents([t] * 50, t)}) for t in (1, 2)]
    window = pa.table({"text": documents([7] * 50, 9)})
    assert sum(nearest_shares(parts, window, 2048, 1024, 0)) == pytest.approx(1)
