"""No alarm on the same mix; an alarm on new topics, languages, scores; always the same answer."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations import drift
from headrace.expectations.drift import (
    DIRECTIONS,
    NEIGHBOURS,
    DriftSettings,
    DriftVerdict,
    compare,
)
from headrace.infra.errors import ValidationError

FEW = DriftSettings(permutations=399)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def words(topic: int, count: int = 60) -> list[str]:
    draw = np.random.default_rng(1000 + topic)
    return ["".join(draw.choice(list(_ALPHABET), draw.integers(3, 9))) for _ in range(count)]


COMMON = words(0, 200)


def documents(topics: list[int], seed: int) -> list[str]:
    """A text a topic number: half its words are of the topic, half of all."""
    draw = np.random.default_rng(seed)
    own = {t: words(t) for t in set(topics)}
    return [
        " ".join([*draw.choice(own[t], 20), *draw.choice(COMMON, int(draw.integers(10, 40)))])
        for t in topics
    ]


def side(n: int, seed: int, new: float = 0.0, scores: float = 0.0) -> pa.Table:
    """`n` documents of five topics, a share `new` of a sixth; `scores` lowers a score."""
    draw = np.random.default_rng(seed)
    topics = [6 if draw.random() < new else int(draw.integers(1, 6)) for _ in range(n)]
    return pa.table(
        {
            "text": documents(topics, seed),
            "lang": ["zh" if t % 2 else "en" for t in topics],
            "domain": [None] * n,
            "semantic_score": (draw.beta(8, 2, n) - scores).astype(np.float32),
        }
    )


def of(verdict: DriftVerdict, name: str) -> tuple[float, float]:
    test = next(t for t in verdict.tests if t.name == name)
    return test.p_value, test.effect


def test_same_mix_gives_no_alarm() -> None:
    """With level 0.005 four alarms among 40 windows have a chance of about 5e-5."""
    alarms = sum(
        compare(side(150, 2 * i), side(60, 2 * i + 1), FEW, seed=i).drift for i in range(40)
    )
    assert alarms <= 3


def test_new_topic_is_seen_in_the_text_alone() -> None:
    text = ["text"]
    verdict = compare(side(400, 1).select(text), side(150, 2, new=0.3).select(text), FEW)
    assert verdict.drift
    assert {NEIGHBOURS, DIRECTIONS} & set(verdict.drifted)
    # 30 % of the window is new; the effect is a lower bound, but for noise.
    assert 0.1 < verdict.effect < 0.45


def test_shifted_score_is_named() -> None:
    verdict = compare(side(400, 1), side(200, 2, scores=0.25), FEW)
    assert verdict.drifted == ("semantic_score",)
    assert verdict.p_value == 1 / 400


def test_shifted_language_is_named() -> None:
    window = side(200, 2)
    window = window.set_column(1, "lang", pa.array(["en"] * 200))
    verdict = compare(side(400, 1), window, FEW)
    assert "lang" in verdict.drifted
    assert of(verdict, "lang")[1] > 0.4


def test_a_difference_that_is_too_small_raises_no_alarm() -> None:
    strict = FEW.model_copy(update={"minimum_effect": 0.9})
    verdict = compare(side(400, 1), side(200, 2, scores=0.25), strict)
    assert verdict.p_value <= strict.alpha and not verdict.drift and verdict.drifted == ()


def test_same_question_gives_the_same_answer() -> None:
    a, b = side(120, 1), side(60, 2, new=0.2)
    assert compare(a, b, FEW, seed=3).to_dict() == compare(a, b, FEW, seed=3).to_dict()
    chunked = pa.concat_tables([a.slice(0, 50), a.slice(50)])
    assert compare(chunked, b, FEW, seed=3).to_dict() == compare(a, b, FEW, seed=3).to_dict()


def test_samples_are_bounded() -> None:
    small = FEW.model_copy(update={"max_reference": 100, "max_window": 50})
    verdict = compare(side(300, 1), side(200, 2), small)
    assert (verdict.reference_documents, verdict.window_documents) == (100, 50)


@pytest.mark.parametrize("n", [0, 19])
def test_too_few_documents(n: int) -> None:
    with pytest.raises(ValidationError, match=f"the window has {n} usable documents"):
        compare(side(100, 1), side(40, 2).slice(0, n), FEW)
    with pytest.raises(ValidationError, match=f"the reference has {n} usable documents"):
        compare(side(40, 2).slice(0, n), side(100, 1), FEW)


def test_blank_and_null_texts_are_left_out() -> None:
    blank = pa.table({"text": ["", "  \n", None] * 20})
    window = pa.concat_tables([side(40, 2).select(["text"]), blank])
    assert compare(side(100, 1), window, FEW).window_documents == 40


def test_repeats_count_once_where_the_reference_has_none() -> None:
    window = side(60, 2)
    repeated = pa.concat_tables([window, *[window.slice(0, 1)] * 100])
    assert compare(side(100, 1), repeated, FEW).window_documents == 60
    # A reference of raw text repeats itself too: then both sides stay as they are.
    raw = pa.concat_tables([side(100, 1), side(100, 1).slice(0, 20)])
    assert compare(raw, repeated, FEW).window_documents == 160


def test_columns_of_one_side_or_of_one_value_are_not_compared() -> None:
    verdict = compare(side(100, 1), side(60, 2).select(["text", "domain"]), FEW)
    assert {t.name for t in verdict.tests} == {"length", NEIGHBOURS, DIRECTIONS}


def test_missing_scores_are_left_out_of_that_test() -> None:
    window = side(60, 2)
    score = pa.array([None] * 30 + window["semantic_score"].to_pylist()[30:], pa.float32())
    verdict = compare(side(100, 1), window.set_column(3, "semantic_score", score), FEW)
    assert of(verdict, "semantic_score")[0] > 0.05
    empty = window.set_column(3, "semantic_score", pa.nulls(60, pa.float32()))
    assert "semantic_score" not in {t.name for t in compare(side(100, 1), empty, FEW).tests}


def test_equal_texts_everywhere() -> None:
    same = pa.table({"text": ["the same text"] * 50})
    assert not compare(same, same, FEW).drift
    with pytest.raises(ValidationError, match="1 usable"):
        compare(side(100, 1), same, FEW)


def test_leading_directions_are_the_same_by_either_matrix() -> None:
    """Few points are decomposed by their products with each other: the same coordinates."""
    draw = np.random.default_rng(1)
    points = (draw.normal(size=(60, 5)) @ draw.normal(size=(5, 40))).astype(np.float32)
    wide = np.hstack([points, np.zeros((60, 40), np.float32)])
    narrow, few = drift._leading(points, 4), drift._leading(wide, 4)
    assert narrow.shape == few.shape == (60, 4)
    assert np.allclose(np.abs(narrow), np.abs(few), atol=1e-6)
    assert np.allclose(narrow.std(axis=0), 1)


def test_nearest_are_the_most_similar_others() -> None:
    points = np.array([[3, 0], [3, 1], [0, 3], [0, 2], [3, 0]], np.float32)
    near = [set(row) for row in drift._nearest(points, 2).tolist()]
    assert near == [{1, 4}, {0, 4}, {1, 3}, {1, 2}, {0, 1}]
