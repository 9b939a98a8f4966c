"""Language identification: what script settles, what libraries settle, and what nothing settles."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.language import identify
from headrace.spark_jobs.language_codes import LANGUAGES
from headrace.spark_jobs.texts import EN, OTHER, ZH

CASES = [
    ("zh", "好吃"),
    ("zh", "本法自2021年1月1日起施行。"),
    ("zh", "用 `git commit -m message` 提交，再运行 docker build -t name . 即可看到结果。"),
    ("zh", "我们把 Kubernetes、Prometheus 和 Grafana 部署到了同一个集群里，效果很好。"),
    ("en", "The agreement was signed in the capital."),
    ("en", "Not fun ."),
    ("en", "Quarterly profit rose 12 % to EUR 1.3 mn ."),
    ("en", "He was born in Beijing (北京) and he moved to the south when he was ten years old."),
    ("fr", "Le tribunal a rendu sa décision hier et les parties ont accepté le jugement."),
    ("de", "Die Regierung hat gestern ein neues Gesetz über den Schutz der Daten beschlossen."),
    ("es", "El gobierno aprobó ayer una nueva ley sobre la protección de los datos personales."),
    ("it", "Il governo ha approvato ieri una nuova legge sulla protezione dei dati personali."),
    ("ja", "東京は日本の首都であり、世界でもっとも人口の多い都市の一つです。"),
    ("ko", "서울은 대한민국의 수도이며 가장 큰 도시이다."),
    ("ru", "Москва является столицей России и самым населённым городом страны."),
    ("uk", "Київ є столицею України та найбільшим містом країни, що лежить на річці Дніпро."),
    ("el", "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας."),
    ("th", "กรุงเทพเป็นเมืองหลวงของประเทศไทย"),
    ("he", "ירושלים היא עיר הבירה של מדינת ישראל"),
    ("ar", "القاهرة هي عاصمة جمهورية مصر العربية وأكبر مدنها"),
    ("und", "12345 -- 67.8 % +++"),
    ("und", "😀😀"),
]


@pytest.mark.parametrize(("lang", "text"), CASES)
def test_language_of(lang: str, text: str) -> None:
    got, score, _ = identify(pa.array([text]), 1)
    assert got.to_pylist() == [lang]
    assert 0 <= score[0].as_py() <= 1


def test_codes_of_kernels_and_slices() -> None:
    text = pa.array(
        ["junk", "这是中文。", "This is a sentence of English.", "Ceci est une phrase."]
    )
    got, _, codes = identify(text.slice(1), 1)
    assert got.to_pylist() == ["zh", "en", "fr"]
    assert codes.tolist() == [ZH, EN, OTHER]
    assert codes.dtype == np.int8


def test_a_batch_gives_what_its_texts_give_alone() -> None:
    texts = [text for _, text in CASES]
    together, scores, _ = identify(pa.array(texts), 7)
    alone = [identify(pa.array([text]), 7) for text in texts]
    assert together.to_pylist() == [lang[0].as_py() for lang, _, _ in alone]
    assert scores.to_pylist() == [score[0].as_py() for _, score, _ in alone]


def test_no_texts() -> None:
    got, score, codes = identify(pa.array([], pa.string()), 1)
    assert (len(got), len(score), codes.size) == (0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_codes_stay_in_the_vocabulary(texts: list[str]) -> None:
    clean = [t.encode("utf-8", "ignore").decode() for t in texts]
    got, score, _ = identify(pa.array(clean, pa.string()), 3)
    assert set(got.to_pylist()) <= LANGUAGES
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in got.to_pylist())
    assert score.null_count == 0
