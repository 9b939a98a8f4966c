from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.fit.logistic import fit
from headrace.spark_jobs.kernels import linear
from headrace.spark_jobs.kernels.linear import LinearModel, NGrams, buckets
from headrace.spark_jobs.texts import Texts


def held(texts: list[str]) -> Texts:
    return Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))


def ids(text: str, ngrams: NGrams) -> list[int]:
    t = held([text])
    found: list[int] = buckets(ngrams, t.data, t.offsets[:-1], t.offsets[1:])[1].tolist()
    return found


def weighted(ngrams: NGrams, outputs: int = 3) -> LinearModel:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (1 << ngrams.bits, outputs)).astype(np.int8)
    names = tuple(f"o{i}" for i in range(outputs))
    return LinearModel(ngrams, names, weights, np.ones(outputs, "f4"), np.zeros(outputs, "f4"))


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Hello, world", 2),
        ("hello", 1),
        ("合同 法", 3),
        ("合同，法。", 3),
        ("第12条 Sec3", 4),
        ("naïve café", 2),
        ("", 0),
        (" ,;", 0),
    ],
)
def test_units_are_words_and_chinese_characters(text: str, units: int) -> None:
    assert len(ids(text, NGrams((1,)))) == units
    assert len(ids(text, NGrams((1, 2)))) == max(0, 2 * units - 1)


def test_case_width_and_digits_do_not_matter() -> None:
    grams = NGrams((1, 2), (2,))
    assert ids("Law 2019", grams) == ids("ｌａｗ 1987", grams) == ids("LAW \t 0000", grams)
    assert ids("law", grams) != ids("low", grams)


def test_order_matters_to_bigrams_only() -> None:
    assert sorted(ids("a b c", NGrams((1,)))) == sorted(ids("c a b", NGrams((1,))))
    assert sorted(ids("a b c", NGrams((2,)))) != sorted(ids("c a b", NGrams((2,))))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_batches_do_not_change_scores(texts: list[str]) -> None:
    model = weighted(NGrams((1, 2), (1, 3), 10))
    long = [t * 400 for t in texts]
    together = model.margins(*spans(long))
    alone = np.concatenate([model.margins(*spans([t])) for t in long])
    assert np.array_equal(together, alone)


def spans(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = held(texts)
    return t.data, t.offsets[:-1], t.offsets[1:]


def test_a_text_longer_than_a_block_has_the_sum_of_its_ids() -> None:
    text = "合同 law 😀 naïve " * 2000
    assert len(text.encode()) > 4 * linear._BLOCK
    model = weighted(NGrams((1, 2, 3), (2,), 12))
    got = ids(text, model.ngrams)
    wanted = model.weights[got].astype(np.int64).sum(0) / len(got)
    assert np.allclose(model.margins(*spans([text]))[0], wanted, rtol=1e-6)


def test_spans_inside_a_text_are_scored_like_texts() -> None:
    model = weighted(NGrams((1, 2), (3,), 12))
    parts = ["合同无效。", "the court held", "患者发热"]
    data, _, _ = spans(["".join(parts)])
    ends = np.cumsum([len(p.encode()) for p in parts])
    starts = ends - [len(p.encode()) for p in parts]
    assert np.array_equal(model.margins(data, starts, ends), model.margins(*spans(parts)))


def test_a_sliced_array_is_read_where_it_begins() -> None:
    model = weighted(NGrams())
    whole = pa.array(["one", "two words", "三"])
    part = Texts(whole.slice(1), np.zeros(2, np.int8))
    assert np.array_equal(model.scores(part), model.scores(held(["two words", "三"])))


def test_a_saved_model_gives_the_same_scores(tmp_path: Path) -> None:
    model = weighted(NGrams((1, 3), (2,), 9))
    model.save(tmp_path / "m.npz")
    again = LinearModel.load(tmp_path / "m.npz")
    assert again.outputs == model.outputs and again.ngrams == model.ngrams
    assert np.array_equal(again.scores(held(["a b 三"])), model.scores(held(["a b 三"])))


def test_no_text_and_no_texts() -> None:
    model = weighted(NGrams())
    assert model.scores(held([])).shape == (0, 3)
    assert np.allclose(model.scores(held([""])), 0.5)


def test_impossible_orders_are_refused() -> None:
    for words, chars, bits in (((), (), 10), ((7,), (), 10), ((1,), (), 30)):
        with pytest.raises(ValueError, match="no such n-grams"):
            NGrams(words, chars, bits)


def test_a_fit_learns_what_tells_two_kinds_apart_and_is_repeatable() -> None:
    rng = np.random.default_rng(5)
    law, ill = ["court", "clause", "法院", "合同"], ["fever", "dose", "患者", "剂量"]
    rows, wanted = [], []
    for i in range(200):
        words = [*rng.choice(law if i % 2 else ill, 6), *rng.choice(["the", "of", "的"], 6)]
        rows.append(" ".join(rng.permutation(words)))
        wanted.append([i % 2, 1 - i % 2])
    targets = np.array(wanted, np.float32)
    model = fit(pa.array(rows), targets, ("law", "ill"), NGrams((1,), bits=12))
    fresh = held(["the court of 合同", "fever 患者 the"])
    assert (model.scores(fresh) > 0.5).tolist() == [[True, False], [False, True]]
    again = fit(pa.array(rows), targets, ("law", "ill"), NGrams((1,), bits=12))
    assert np.array_equal(model.weights, again.weights) and np.array_equal(model.bias, again.bias)
