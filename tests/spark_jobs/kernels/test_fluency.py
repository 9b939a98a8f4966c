import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.kernels import fluency as f
from headrace.spark_jobs.texts import Texts

WEIGHTS = np.random.default_rng(2).integers(-127, 128, f.SIZE).astype(np.int8)


def spans(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    return t.data, t.offsets[:-1], t.offsets[1:]


def counts(text: str) -> list[int]:
    found: list[int] = f.measure(*spans([text]), WEIGHTS)[1][0].tolist()
    return found


def repeated(text: str) -> float:
    return float(f.measure(*spans([text]), WEIGHTS)[2][0])


def test_families_count_what_they_say() -> None:
    # Four characters: three pairs and two triples, each with Chinese in it.
    assert counts("中国人民") == [5, 0, 0, 4]
    # Three words: two pairs of words, two pairs and one triple of classes. Letters: every letter
    # with the two before it, from the fourth on with three, and the end.
    assert counts("we are old") == [0, 5, 2 + 3 + 3 + 3, 0]
    assert counts("we, we") == [0, 1 + 2 + 1, 2 + 2 + 2, 0]
    assert counts("") == counts("  \n") == [0, 0, 0, 0]


def test_a_latin_word_is_one_character_among_chinese() -> None:
    han = [
        sorted(i for i in f.buckets(*spans([t]))[1].tolist() if i < f.START[1])
        for t in ("用Linux写", "用Debian写")
    ]
    assert han[0] == han[1] and len(han[0]) == 3


def test_sums_are_weights_of_the_ids() -> None:
    texts = ["第3条 The court held that 合同无效。" * 300, "plain English, twice.", "纯中文句子。"]
    sums, found, _ = f.measure(*spans(texts), WEIGHTS)
    indptr, ids = f.buckets(*spans(texts))
    for i in range(len(texts)):
        mine = ids[indptr[i] : indptr[i + 1]]
        for family in range(f.FAMILIES):
            first = f.START[family]
            part = mine[(mine >= first) & (mine < first + (1 << f.BITS[family]))]
            assert sums[i, family] == WEIGHTS[part].astype(np.int64).sum()
            assert found[i, family] == part.size


def test_repeated_share_counts_stretches_seen_before() -> None:
    rng = random.Random(3)
    words = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(600)]
    text = " ".join(words)
    assert repeated(text) == 0
    assert abs(repeated(" ".join([text] * 4)) - 0.75) < 0.02
    characters = "".join(chr(0x4E00 + rng.randrange(8000)) for _ in range(3000))
    assert repeated(characters) < 0.01 and repeated(characters * 10) > 0.85


def test_a_text_that_would_fill_the_table_is_sampled() -> None:
    rng = random.Random(3)
    long = "".join(chr(0x4E00 + rng.randrange(8000)) for _ in range(200_000))
    assert repeated(long) < 0.01
    # Two thirds, less what newer stretches put out of the table.
    assert 0.5 < repeated(long * 3) < 0.67


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_batches_do_not_change_anything(texts: list[str]) -> None:
    long = [t * 120 for t in texts]
    together = f.measure(*spans(long), WEIGHTS)
    for i, text in enumerate(long):
        alone = f.measure(*spans([text]), WEIGHTS)
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone, together, strict=True))
