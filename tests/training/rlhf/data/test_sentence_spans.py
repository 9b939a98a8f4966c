"""Sentences in a row: where they end in both languages, and which places serve."""

from __future__ import annotations

import pytest

from headrace.training.rlhf.data.sentence_spans import is_sentence, places, sentences


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("One ends. Two ends! Three?", "en", ["One ends.", "Two ends!", "Three?"]),
        ("Dr. Smith saw J. Brown at 5.30 p.m. today.", "en", None),
        ('He said "no." Then he left.', "en", ['He said "no."', "Then he left."]),
        ("第一句。第二句！第三句？", "zh", ["第一句。", "第二句！", "第三句？"]),
        ("他说：“不行。”然后走了。", "zh", ["他说：“不行。”", "然后走了。"]),
    ],
)
def test_sentences(text: str, lang: str, expected: list[str] | None) -> None:
    assert sentences(text, lang) == [expected or [text]]


def test_paragraphs_stay_apart() -> None:
    text = "The first one ends here, at last.\n\nThe second one begins and ends here."
    assert len(sentences(text, "en")) == 2
    assert places(text, "en", 200, 200) == []


def test_a_place_is_two_fitting_sentences() -> None:
    a, b, c = (
        "The court heard the appeal in the spring.",
        "It gave its judgment in the autumn of that year.",
        "This sentence is far too long to be a response, " * 4 + "is it not.",
    )
    assert places(f"{a} {b} {c[0].upper()}{c[1:]}", "en", 100, 100) == [(a, b)]


@pytest.mark.parametrize(
    ("text", "lang", "ok"),
    [
        ("It ends well.", "en", True),
        ("A heading without an end", "en", False),
        ("人民法院应当受理。", "zh", True),
        ("人民法院应当受理。", "en", False),
        ("All of it is English.", "zh", False),
    ],
)
def test_is_sentence(text: str, lang: str, ok: bool) -> None:
    assert is_sentence(text, lang) is ok
