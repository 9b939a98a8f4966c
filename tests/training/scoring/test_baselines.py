from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.infra.errors import InputError
from headrace.training.scoring import baselines

V = 6
ROWS = st.lists(st.lists(st.integers(0, V - 1), min_size=5, max_size=5), min_size=1, max_size=12)
ALL = np.arange(V)


def kneser_ney(rows: list[list[int]], v: int, w: int) -> float:
    """p(w|v), written down from the definition."""
    pairs = Counter(pair for row in rows for pair in itertools.pairwise(row))
    types = Counter(last for _, last in pairs)

    def discount(counts: list[int]) -> float:
        one, two = counts.count(1), counts.count(2)
        return one / (one + 2 * two) if one else 0.5

    high, low = discount(list(pairs.values())), discount(list(types.values()))
    q = max(types[w] - low, 0) / len(pairs) + low * len(types) / len(pairs) / V
    context = sum(n for (first, _), n in pairs.items() if first == v)
    if not context:
        return q
    followers = sum(first == v for first, _ in pairs)
    return max(pairs[v, w] - high, 0) / context + high * followers / context * q


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_bigram_is_kneser_ney(rows: list[list[int]]) -> None:
    model = baselines.Bigram.fit(np.array(rows), V)
    for v in range(V):
        got = np.exp(model.log_probability(np.full(V, v), ALL))
        np.testing.assert_allclose(got, [kneser_ney(rows, v, w) for w in range(V)], rtol=1e-9)
        assert got.sum() == pytest.approx(1)


@settings(deadline=None, max_examples=20)
@given(ROWS)
def test_unigram_is_add_one(rows: list[list[int]]) -> None:
    model = baselines.Unigram.fit(np.array(rows), V)
    got = np.exp(model.log_probability(ALL, ALL))
    flat = [t for row in rows for t in row]
    np.testing.assert_allclose(got, [(flat.count(w) + 1) / (len(flat) + V) for w in range(V)])


def test_documents_are_summed_apart() -> None:
    documents = [[0, 1, 2], [0], [], [3, 3]]

    def log_probability(
        previous: npt.NDArray[np.int64], token: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        return (-(10 * previous + token)).astype(np.float64)

    got = baselines.score_ids(log_probability, documents)
    np.testing.assert_allclose(got, [1 + 12, 0, 0, 33])


def write(folder: Path, name: str, rows: list[list[int]]) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    column = pa.array(rows, pa.list_(pa.int32()))
    pq.write_table(pa.table({"input_ids": column}), folder / name)


def test_only_as_many_tokens_as_the_model_saw(tmp_path: Path) -> None:
    write(tmp_path, "b.parquet", [[9, 9]])
    write(tmp_path, "a.parquet", [[1, 2], [3, 4]])
    assert baselines.read_rows(str(tmp_path)).tolist() == [[1, 2], [3, 4], [9, 9]]
    assert baselines.read_rows(str(tmp_path), 4).tolist() == [[1, 2], [3, 4]]
    assert baselines.read_rows(str(tmp_path), 3).tolist() == [[1, 2]]


def test_without_shards(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(InputError):
        baselines.read_rows(str(tmp_path))
