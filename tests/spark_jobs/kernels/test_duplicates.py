"""Duplicates by arrays against a plain reference."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.duplicates import components, find, repeated_ids
from headrace.spark_jobs.kernels.minhash import BANDS, signatures
from headrace.spark_jobs.texts import EN, Texts


def keys(texts: list[str], docs: list[int], scores: list[float], ids: list[str]) -> pa.Table:
    signature, bands = signatures(
        Texts(pa.array(texts, pa.string()), np.full(len(texts), EN, np.int8))
    )
    return pa.table(
        {
            "doc": pa.array(docs, pa.int64()),
            "id": pa.array(ids, pa.string()),
            "content_hash": pa.array(texts, pa.string()),
            "passed": pa.array([True] * len(texts)),
            "score": pa.array(scores, pa.float32()),
            "length": pa.array([len(t) for t in texts], pa.int32()),
            "bands": pa.array([b.tolist() for b in bands], pa.list_(pa.int64())),
            "signature": pa.array([s.tobytes() for s in signature], pa.binary()),
        }
    )


rng = np.random.default_rng(1)
LONG = [" ".join(f"w{k}" for k in rng.integers(0, 9999, 200)) for _ in range(6)]


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_components_against_a_walk(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = case
    u, v = (np.array([e[k] for e in edges], np.int64) for k in (0, 1))
    want = list(range(n))
    for _ in range(n):
        for a, b in edges:
            want[a] = want[b] = min(want[a], want[b])
    assert components(u, v, n).tolist() == want


def test_the_best_of_equals_stays_and_details_name_it() -> None:
    texts = [LONG[0], LONG[0], LONG[0] + " tail", LONG[1], LONG[1]]
    found = find(keys(texts, [0, 1, 2, 3, 4], [0.5, 0.9, 0.95, 0.7, 0.7], list("abcde")), 0.8)
    assert found.to_pylist() == [
        {"doc": 0, "reason": "duplicate.exact", "detail": "c"},
        {"doc": 1, "reason": "duplicate.near", "detail": "c"},
        {"doc": 4, "reason": "duplicate.exact", "detail": "d"},
    ]


def test_an_ancestor_stays_however_poor() -> None:
    found = find(keys([LONG[0], LONG[0] + " tail"], [-1, 3], [0.1, 0.9], ["old", "new"]), 0.8)
    assert found.to_pylist() == [{"doc": 3, "reason": "duplicate.near", "detail": "old"}]


@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    texts = [LONG[k % 6] + " x" * (k // 6) for k in range(12)]
    table = keys(
        texts, list(range(12)), [k % 3 / 3 for k in range(12)], [f"i{k}" for k in range(12)]
    )
    assert find(table.take(order), 0.8).equals(find(table, 0.8))


def test_repeated_ids_count_other_texts_only() -> None:
    table = keys(["a", "a", "b", "c"], [0, 1, 2, 3], [0, 0, 0, 0], ["x", "x", "x", "y"])
    assert repeated_ids(table) == 1
    bands: Any = table["bands"].combine_chunks()
    assert bands.flatten().to_numpy().size == 4 * BANDS
