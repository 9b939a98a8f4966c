"""Counts by script agree with Python's own reading of the text."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.kernels import scripts
from headrace.spark_jobs.texts import Texts


def count(*texts: str) -> np.ndarray:
    batch = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    return scripts.count(batch.data, batch.offsets, scripts.TABLE)


def test_function_words_are_whole_words() -> None:
    got = count("The cat and THE dog", "thesis andante", "the", "été the", "")
    assert got[:, scripts.ENGLISH].tolist() == [3, 0, 1, 1, 0]
    assert got[:, scripts.WORDS].tolist() == [5, 2, 1, 2, 0]


def test_scripts_of_letters() -> None:
    got = count("汉字かなカナ한글кирΩאبกक")[0]
    columns = (
        scripts.HAN,
        scripts.KANA,
        scripts.HANGUL,
        scripts.CYRILLIC,
        scripts.GREEK,
        scripts.HEBREW,
        scripts.ARABIC,
        scripts.THAI,
        scripts.INDIC,
    )
    assert [got[c] for c in columns] == [2, 4, 2, 3, 1, 1, 1, 1, 1]


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80))
def test_ascii_letters_and_han_are_counted(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    got = count(text)[0]
    han = sum("\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" or c == "〇" for c in text)
    han += sum("\uf900" <= c <= "\ufaff" or "\U00020000" <= c <= "\U0003ffff" for c in text)
    assert got[scripts.HAN] == han
    latin = sum(c.isascii() and c.isalpha() for c in text)
    latin += sum("Ａ" <= c <= "Ｚ" or "ａ" <= c <= "ｚ" for c in text)
    assert got[scripts.LATIN] == latin
