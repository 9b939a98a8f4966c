from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.incremental import old_text

DOCUMENTS = [[9, 1, 1], [9, 2, 2, 2], [9, 3], [9, 4, 4, 4, 4]]


def test_pack_goes_over_all_documents_in_each_pass() -> None:
    rows = old_text.pack(DOCUMENTS, 7, 100, passes=3, seed=1)
    flat = rows.ravel().tolist()
    assert len(flat) == 42 and len(rows) == 6  # three passes over 14 ids
    for at in range(0, 42, 14):
        assert sorted(flat[at : at + 14]) == sorted(i for d in DOCUMENTS for i in d)
    assert flat[:14] != flat[14:28] or flat[14:28] != flat[28:]


@given(st.integers(1, 9), st.integers(0, 12), st.integers(1, 4), st.integers(0, 5))
def test_pack_respects_rows_and_passes(length: int, rows: int, passes: int, seed: int) -> None:
    got = old_text.pack(DOCUMENTS, length, rows, passes, seed)
    assert got.shape[1] == length and len(got) <= rows
    assert got.size <= max(passes * 14, length)
    assert np.array_equal(got, old_text.pack(DOCUMENTS, length, rows, passes, seed))


def test_a_window_smaller_than_a_row_is_repeated() -> None:
    assert old_text.pack([[9, 1]], 6, 4, 1, 0).tolist() == [[9, 1, 9, 1, 9, 1]]
    assert old_text.pack([], 6, 4, 1, 0).shape == (0, 6)


def test_mix_puts_the_same_share_of_old_rows_into_each_batch() -> None:
    new = np.arange(100, 120).reshape(10, 2)
    old = np.arange(6).reshape(3, 2)
    got = old_text.mix([(new, 3), (old, 1)])
    assert got.shape == (3, 4, 2)
    assert got[:, :3].reshape(-1, 2).tolist() == new[:9].tolist()
    assert got[:, 3].tolist() == old.tolist()
    assert old_text.mix([(new, 4), (old, 0)]).tolist() == new[:8].reshape(2, 4, 2).tolist()


def test_mix_goes_over_short_parts_again() -> None:
    new, old, said = np.array([[1, 1]]), np.array([[0, 0]]), np.array([[5, 5]])
    got = old_text.mix([(new, 2), (old, 1), (said, 1)])
    assert got.tolist() == [[[1, 1], [1, 1], [0, 0], [5, 5]]]


def test_choose_does_not_depend_on_how_rows_were_stored() -> None:
    table = pa.table(
        {"content_hash": [f"{i:032x}" for i in range(20)], "text": list("abcdefghijklmnopqrst")}
    )
    one = old_text.choose(table, 5, seed=3)
    two = old_text.choose(table.take(list(range(19, -1, -1))), 5, seed=3)
    assert one.equals(two) and len(set(one["text"].to_pylist())) == 5
    assert not one.equals(old_text.choose(table, 5, seed=4))
    assert len(old_text.choose(table, 50, seed=3)) == 20


def test_separate_lets_a_token_see_its_own_document_only() -> None:
    got = old_text.separate(torch.tensor([[5, 9, 6, 9]]), eos=9)[0, 0].int().tolist()
    assert got == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
