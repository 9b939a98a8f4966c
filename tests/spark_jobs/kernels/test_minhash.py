"""Signatures estimate the similarity of texts; matching finds similar pairs and no others."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from headrace.spark_jobs.kernels.minhash import BANDS, BINS, Matcher, signatures
from headrace.spark_jobs.texts import EN, ZH, Texts

rng = np.random.default_rng(5)
HAN = [chr(c) for c in range(0x4E00, 0x4E00 + 2000)]


def han(n: int) -> str:
    return "".join(rng.choice(HAN, n))


def words(n: int) -> str:
    return " ".join(f"w{k}" for k in rng.integers(0, 5000, n))


def signed(texts: list[str], lang: int) -> tuple[np.ndarray, np.ndarray]:
    return signatures(Texts(pa.array(texts, pa.string()), np.full(len(texts), lang, np.int8)))


def grams(text: str, lang: int) -> set[str]:
    units = list(text) if lang == ZH else text.split()
    return {"\0".join(units[i : i + 5]) for i in range(len(units) - 4)}


@pytest.mark.parametrize(("lang", "make", "join"), [(ZH, han, ""), (EN, words, " ")])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_estimates_are_near_the_true_similarity(
    lang: int, make: Callable[[int], str], join: str, share: float
) -> None:
    errors = []
    for _ in range(40):
        common, a, b = make(int(800 * share)), make(800 - int(800 * share)), make(40)
        one, two = common + join + a, common + join + b
        true = len(grams(one, lang) & grams(two, lang)) / len(grams(one, lang) | grams(two, lang))
        signature, _ = signed([one, two], lang)
        errors.append((signature[0] == signature[1]).mean() - true)
    # The standard error of one estimate is at most .045, of the mean of 40 below .01.
    assert abs(np.mean(errors)) < 0.03 and np.std(errors) < 0.06


def test_layout_case_and_punctuation_do_not_matter() -> None:
    text = "The quick brown fox, of Paris, jumps over the lazy dog and runs away."
    signature, bands = signed([text, text.upper().replace(",", " ;\n\n")], EN)
    assert (signature[0] == signature[1]).all() and (bands[0] == bands[1]).all()
    zh, _ = signed(["中华人民共和国宪法,第一条。", "中华人民共和国\n宪法，第一条"], ZH)
    assert (zh[0] == zh[1]).all()


@pytest.mark.parametrize("lang", [ZH, EN])
def test_short_texts_differ_and_equal_ones_agree(lang: int) -> None:
    texts = ["", "?!", "!?", "a", "b", "中", "国", "one two", "one two three", "a"]
    signature, bands = signed(texts, lang)
    same = (signature[:, None] == signature[None]).all(-1)
    pairs = {(i, j) for i, j in np.argwhere(same).tolist() if i < j}
    assert (3, 9) in pairs
    assert pairs <= {(3, 9)} and bands.shape == (len(texts), BANDS)


def matched(
    docs: list[int], signature: np.ndarray, bands: np.ndarray, threshold: float
) -> set[tuple[int, int]]:
    band, row = bands.ravel(), np.repeat(np.arange(len(docs)), BANDS)
    order = np.argsort(band, kind="stable")
    u, v = Matcher(threshold).match(band[order], np.array(docs)[row[order]], signature[row[order]])
    return set(zip(u.tolist(), v.tolist(), strict=True))


def test_pairs_above_the_threshold_are_found() -> None:
    base = [words(300) for _ in range(30)]
    near = [b + " " + words(6) for b in base]
    signature, bands = signed(base + near, EN)
    pairs = matched(list(range(60)), signature, bands, 0.8)
    assert pairs == {(k, k + 30) for k in range(30)}


def test_a_band_that_all_share_costs_no_square() -> None:
    n = 20_000
    signature = np.tile(rng.integers(0, 1 << 16, BINS).astype(np.uint16), (n, 1))
    u, v = Matcher(0.8).match(np.zeros(n, np.int64), np.arange(n), signature)
    assert set(v.tolist()) == set(range(1, n)) and u.size < 4 * n + 64 * 64


def test_matching_goes_on_across_batches() -> None:
    text = words(200)
    signature, bands = signed([text, text + " more", words(200)], EN)
    order = np.argsort(bands.ravel(), kind="stable")
    band, row = bands.ravel()[order], np.repeat(np.arange(3), BANDS)[order]
    matcher, found = Matcher(0.8), set()
    for k in range(band.size):
        u, v = matcher.match(band[k : k + 1], row[k : k + 1], signature[row[k : k + 1]])
        found |= set(zip(u.tolist(), v.tolist(), strict=True))
    assert found == {(0, 1)}


def test_ancestors_are_not_compared_with_each_other() -> None:
    text = words(200)
    signature, bands = signed([text] * 3, EN)
    assert matched([-2, -1, 5], signature, bands, 0.8) == {(-2, 5), (-1, 5)}
