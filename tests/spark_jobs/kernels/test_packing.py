"""Packing loses nothing but the counted rest, and knows where documents begin."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.packing import pack

LENGTHS = np.array([0, 1, 2, 3])


@given(st.lists(st.lists(st.integers(1, 3), max_size=30), max_size=12), st.integers(1, 9))
def test_rows_are_the_stream(bodies: list[list[int]], length: int) -> None:
    documents = [np.array([0, *body], np.int32) for body in bodies]
    packed = pack(documents, length, LENGTHS)
    rows = packed.rows.to_pylist()
    stream = [x for d in documents for x in d.tolist()]
    kept = [x for row in rows for x in row["input_ids"]]
    assert all(len(row["input_ids"]) == length for row in rows)
    assert kept == stream[: len(kept)]
    assert packed.dropped == len(stream) - len(kept) < length
    assert packed.bytes == sum(kept)  # a token stands for as many bytes as its id here
    for row in rows:  # the separator stands nowhere but in front of a document
        assert row["document_starts"] == [i for i, x in enumerate(row["input_ids"]) if x == 0]
