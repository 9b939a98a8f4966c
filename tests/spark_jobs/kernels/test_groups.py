"""Masked sentences: groups can't be told apart, everything else stays, and nothing is lost."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.groups import (
    ADJECTIVE,
    FOLLOW,
    GROUP,
    NAME,
    PRONOUN,
    SLUR,
    TAIL,
    Lexicon,
    Sentences,
    outside_quotes,
    sentences,
)

LEXICON = Lexicon.build(
    {
        "women": GROUP,
        "muslim": GROUP,
        "gay": GROUP,
        "people": TAIL,
        "she": PRONOUN,
        "he": PRONOUN,
        "scum": SLUR,
        "old": ADJECTIVE,
        "rich": ADJECTIVE,
        "are": FOLLOW,
        "korea": NAME,
        "south korea": NAME,
        "the south korea": NAME,
        "teachers": NAME,
        "people of color": GROUP,
        "jehovah s witnesses": GROUP,
        "女人": GROUP,
        "河南": GROUP,
        "人": TAIL,
        "她": PRONOUN,
        "蛮子": SLUR,
    }
)


def cut(*texts: str) -> Sentences:
    raw = [t.encode() for t in texts]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    return sentences(np.frombuffer(b"".join(raw) or b"\0", np.uint8), offsets, LEXICON)


def shown(*texts: str) -> list[str]:
    """The masked sentences, with G for a group, P for a pronoun and N for a name."""
    found = cut(*texts)
    raw = found.data.tobytes()
    return [
        raw[a:b].decode().translate({0xE000: "G", 0xE001: "P", 0xE002: "N"})
        for a, b in zip(found.starts, found.ends, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Women, gay people; a womens' day", "G, G; a womens' day"),
        ("Muslim women and people", "G and people"),
        ("she said he did", "P said P did"),
        ("the", "the"),
        ("这些河南人和女人，人人都知道她", "这些G和G，人人都知道P"),
        ("蛮子 scum", "蛮子 scum"),
        ("gayé 2gay gay2", "gayé 2gay G2"),
        ("old people in the old town", "G in the old town"),
        ("rich old women, a rich old town", "G, a rich old town"),
        ("the rich are old, the old", "the G are old, the G"),
        ("the old road", "the old road"),
        ("in South Korea, the South Korea, korea, south", "in N, N, N, south"),
        ("the south", "the south"),
        ("an old woman, an women, a women", "an old woman, a G, a G"),
        ("An teachers, than women", "A N, than G"),
        ("People-of-Color and people", "G and people"),
        ("Jehovah's Witnesses' hall", "G' hall"),
        ("gay teachers", "G N"),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert shown(text) == [masked]


def test_what_stands_before_a_text_does_not_matter() -> None:
    assert shown("say the ", "old", "the old") == ["say the ", "old", "the G"]
    assert shown("bathe old") == ["bathe old"]


def test_any_group_gives_the_same_bytes() -> None:
    lines = {
        shown(f"I hate {x}, and {y} too.")[0] for x, y in product(["women", "gay people"], repeat=2)
    }
    assert len(lines) == 1


def test_groups_and_slurs_are_counted() -> None:
    found = cut("women and scum and gay people", "河南女人，蛮子", "none")
    assert found.groups.tolist() == [3, 2, 0]
    assert found.masked.tolist() == [2, 1, 0]


def test_sentences_end_where_they_should() -> None:
    long = "This sentence is long enough to stand alone because it goes on and on, " * 2
    text = f"{long}really. Next one? Short.\nA line\n\n" + "这一句话足够长。" * 8
    got = shown(text)
    assert "".join(got) == text.replace("\n\n", "\n")
    assert got[0].endswith("really.")
    assert [x for x in got if "A line" in x] == ["A line\n"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Co"])), max_size=6))
def test_nothing_is_lost_or_mixed_up(texts: list[str]) -> None:
    empty = Lexicon.build({})
    raw = [t.encode() for t in texts]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    found = sentences(np.frombuffer(b"".join(raw) or b"\0", np.uint8), offsets, empty)
    whole = found.data.tobytes()
    for i, text in enumerate(raw):
        mine = [
            whole[a:b]
            for a, b, o in zip(found.starts, found.ends, found.owner, strict=True)
            if o == i
        ]
        # Only blank lines may fall out.
        assert b"".join(mine).translate(None, bytes(range(33))) == text.translate(
            None, bytes(range(33))
        )
    for place, start, end in zip(found.places, found.starts, found.ends, strict=True):
        assert b"".join(raw)[place : place + end - start] == whole[start:end]


@given(st.text("gay women he she old south korea the - 女人河南她。.\n,", max_size=300))
def test_output_never_outgrows_its_buffer(text: str) -> None:
    found = cut(text)
    found.data.tobytes().decode("utf-8")  # whole characters
    assert (found.ends > found.starts).all()


def test_endless_text_is_cut_at_characters() -> None:
    for text in ("长" * 2000, "x " * 2000, "长，" * 2000):
        got = shown(text)
        assert "".join(got) == text
        assert max(len(x.encode()) for x in got) <= 1000


@pytest.mark.parametrize(
    ("text", "around"),
    [
        ("他说“滚出去”，被罚款", "他说，被罚款"),
        ('he wrote "go away" there', "he wrote  there"),
        ("说完”他走了", "他走了"),
        ("他说：“都滚", "他说："),
        ('5" of rain', '5" of rain'),
        ("「甲」和『乙』", "和"),
    ],
)
def test_outside_quotes(text: str, around: str) -> None:
    raw = np.frombuffer(text.encode(), np.uint8)
    got, offsets = outside_quotes(raw, np.array([0, 0]), np.array([raw.size, raw.size]))
    assert got[offsets[1] : offsets[2]].tobytes().decode() == around


def test_terms_of_another_form_are_refused() -> None:
    for term in ("two  words", "x1", "Upper", "", "半half", "一二三四五六七八九"):
        with pytest.raises(ValueError, match=f"'{term}'"):
            Lexicon.build({term: GROUP})
