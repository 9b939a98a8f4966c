"""Texts as points: alike texts lie near, the projection is fixed, long texts are bounded."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.expectations.embedding import embed

LAW = ["The tenant shall pay the rent to the landlord.", "The landlord may end the tenancy."]
SEA = ["Anchor the ship before the tide turns.", "The tide carried the ship to sea."]
ZH = ["承租人应当按照约定支付租金。", "出租人可以解除合同并收回租金。"]


def test_alike_texts_lie_near() -> None:
    points = embed(pa.array([*LAW, *SEA, *ZH]), dimensions=1024)
    similar = points @ points.T
    assert similar[0, 1] > max(similar[0, 2], similar[0, 3]) + 0.02
    assert similar[4, 5] > abs(similar[4, :4]).max() + 0.02
    assert np.allclose(np.diag(similar), 1, atol=0.25)


def test_projection_is_fixed() -> None:
    """The values of a known text: another version of a library must not move old verdicts."""
    point = embed(pa.array(["abc", "xyz"]), dimensions=8)[0]
    again = embed(pa.chunked_array([["zzz", "abc"], ["xyz"]]).slice(1).combine_chunks(), 2048, 8)
    assert np.array_equal(point, again[0])
    assert np.allclose(point * np.sqrt(12), np.rint(point * np.sqrt(12)), atol=1e-5)


def test_null_and_empty_texts_are_at_the_origin() -> None:
    assert not embed(pa.array([None, "", "a"], pa.string()), dimensions=16).any()
    assert embed(pa.array([], pa.string()), dimensions=16).shape == (0, 16)


def test_only_the_beginning_and_the_middle_of_a_long_text_count() -> None:
    text = "".join(chr(97 + i * i % 26) for i in range(1000))
    a, b = embed(pa.array([text, text[:999] + "?", "other words"]), 100, 64)[:2]
    assert np.array_equal(a, b)
    a, b = embed(pa.array([text, "?" + text[1:], "other words"]), 100, 64)[:2]
    assert not np.array_equal(a, b)
    a, b = embed(pa.array([text, text[:520] + "?" + text[521:], "other words"]), 100, 64)[:2]
    assert not np.array_equal(a, b)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_text_gives_finite_points_in_its_own_row(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    points = embed(pa.array(texts), dimensions=32)
    assert points.shape == (len(texts), 32) and np.isfinite(points).all()
    turned = embed(pa.array(texts[::-1]), dimensions=32)
    assert np.allclose(points, turned[::-1], atol=1e-6)
