"""The automaton finds what a plain search finds, and merges windows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.anchors import LONGEST, Anchors, Search
from headrace.spark_jobs.texts import Texts


def find(searches: list[Search], texts: list[str]) -> list[tuple[int, int, bytes]]:
    batch = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    windows = Anchors(searches).find(batch.data, batch.offsets)
    return [(t, s, batch.data[a:b].tobytes()) for t, s, a, b in windows.tolist()]


def test_window_stays_in_its_text() -> None:
    got = find([Search(("b",), 3, 3, 0)], ["aab", "b", "ccc"])
    assert got == [(0, 0, b"aab"), (1, 0, b"b")]


def test_overlapping_windows_are_one() -> None:
    assert find([Search(("x",), 2, 1, 0)], ["..x.x......x."]) == [(0, 0, b".x.x."), (0, 0, b".x.")]


def test_case_and_digits() -> None:
    searches = [Search(("isbn",), 4, 4, 2), Search(("周", "星期"), 3, 3, 0)]
    got = find(searches, ["ISBN 12", "isbn none", "星期一"])
    assert got == [(0, 0, b"ISBN 12"), (2, 1, "期一".encode())]


def test_more_windows_than_there_was_room_for() -> None:
    assert len(find([Search(("a",), 1, 0, 0)], ["a." * 10_000])) == 10_000


def test_windows_are_bounded_and_lose_nothing() -> None:
    got = find([Search(("a",), 5, 5, 0)], ["a" * 20_000])
    assert max(len(window) for _, _, window in got) <= LONGEST
    assert sum(len(window) for _, _, window in got) >= 20_000


def test_too_many_searches() -> None:
    with pytest.raises(ValueError, match="65 searches"):
        Anchors([Search(("a",), 1, 1)] * 65)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4, unique=True),
    st.lists(st.text("abcd", max_size=20), min_size=1, max_size=3),
)
def test_every_anchor_is_found(anchors: list[str], texts: list[str]) -> None:
    searches = [Search((anchor,), len(anchor), 0, 0) for anchor in anchors]
    got = find(searches, texts)
    for number, anchor in enumerate(anchors):
        covered = dict.fromkeys(range(len(texts)), b"")
        for text, search, window in got:
            if search == number:
                covered[text] += b"|" + window
        for text, said in enumerate(texts):
            assert (anchor in said) == (anchor.encode() in covered[text])
