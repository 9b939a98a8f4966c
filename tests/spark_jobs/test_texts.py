"""A batch of texts as the two buffers that kernels read."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from headrace.spark_jobs.texts import EN, ZH, Texts


def test_offsets_cut_the_bytes_into_the_texts_also_of_a_slice() -> None:
    text = pa.array(["left out", "甲乙", "", "three"], pa.string()).slice(1)
    texts = Texts(text, np.array([ZH, EN, EN], np.int8))
    ends = texts.offsets.tolist()
    cut = [texts.data[a:b].tobytes().decode() for a, b in pairwise(ends)]
    assert cut == text.to_pylist()


def test_only_chinese_is_folded_and_its_bytes_stay_in_place() -> None:
    text = pa.array(["這裡說漢語", "這裡說漢語"], pa.string())
    texts = Texts(text, np.array([ZH, EN], np.int8))
    half = texts.offsets[1]
    assert texts.folded.size == texts.data.size
    assert texts.folded[:half].tobytes().decode() == "这里说汉语"
    assert texts.folded[half:].tobytes() == texts.data[half:].tobytes()


def test_no_texts_have_no_bytes_to_read() -> None:
    texts = Texts(pa.array([], pa.string()), np.zeros(0, np.int8))
    assert texts.data.size == 1 and texts.offsets.tolist() in ([], [0])
