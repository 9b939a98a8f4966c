"""The scanner takes what strict readers take, and finds the values where they are."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strict_json import strict

from headrace.spark_jobs.kernels import json_objects as kernel

NAMES = ("text", "id", "中文", 'q"\\')


def scan(*texts: str | bytes, names: tuple[str, ...] = NAMES) -> tuple[kernel.Objects, np.ndarray]:
    raw = [t if isinstance(t, bytes) else t.encode("utf-8", "surrogatepass") for t in texts]
    ends = np.cumsum([len(r) for r in raw])
    data = np.frombuffer(b"".join(raw) or b" ", np.uint8)
    return kernel.scan(data, ends - [len(r) for r in raw], ends, names), data


@given(st.text(max_size=30) | st.text('{}[]:,"\\ue0123456789.-+truefalsn \t', max_size=30))
def test_no_text_is_sound_that_a_strict_reader_refuses(text: str) -> None:
    for candidate in (text, "{" + text + "}", '{"a":' + text + "}"):
        try:
            value = strict(candidate)
        except (ValueError, RecursionError, ArithmeticError):
            value = None
        found, _ = scan(candidate.encode("utf-8", "replace"))
        assert found.sound[0] == isinstance(value, dict), candidate


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ('"x"', kernel.STRING), ('"\\n"', kernel.ESCAPED), ("-7", kernel.INTEGER),
        ("7.0", kernel.NUMBER), ("1e2", kernel.NUMBER), ('{"a": {}}', kernel.OBJECT),
        ("[[], {}]", kernel.ARRAY), ("true", kernel.BOOLEAN), ("false", kernel.BOOLEAN),
        ("null", kernel.NULL),
    ],
)  # fmt: skip
def test_kinds(value: str, kind: int) -> None:
    found, data = scan(f'{{"a": 1, "text" : {value} , "b": 2}}')
    assert found.kind[0].tolist() == [kind, 0, 0, 0]
    assert data[found.start[0, 0] : found.stop[0, 0]].tobytes().decode() == value
    assert found.rest.tobytes()[: found.rest_offsets[1]] == b'"a": 1,"b": 2'


def test_a_known_name_in_escapes_is_the_same_name() -> None:
    found, _ = scan('{"\\u0074ext": "x"}', '{"text": 1, "\\u0074ext": "x"}')
    assert found.sound.tolist() == [True, False] and found.kind[0, 0] == kernel.STRING


def test_many_keys_of_one_object_and_of_many_objects() -> None:
    many = ", ".join(f'"k{k}": {{"same": {k}}}' for k in range(5000))
    found, _ = scan(f"{{{many}}}", f'{{{many}, "k17": 1}}', '{"a": {"x": 1, "y": {"x": 1}}}')
    assert found.sound.tolist() == [True, False, True]


@pytest.mark.parametrize(("depth", "sound"), [(99, True), (100, False), (100_000, False)])
def test_depth_is_bounded(depth: int, sound: bool) -> None:
    text = '{"a": ' + "[" * depth + "]" * depth + "}"
    assert scan(text)[0].sound.tolist() == [sound]


def test_numbers_that_were_looked_at_are_taken() -> None:
    raw = b'{"a": 17976931348623157e292, "a": 1}'
    data, ends = np.frombuffer(raw, np.uint8), np.array([len(raw)])
    assert not kernel.scan(data, ends - len(raw), ends).sound[0]
    assert kernel.scan(data, ends - len(raw), ends, checked=True).sound[0]


@given(st.lists(st.text(), max_size=5))
def test_quoted_and_copied(values: list[str]) -> None:
    raw = [v.encode() for v in values]
    offsets = np.cumsum([0, *map(len, raw)])
    out, at = kernel.quoted(np.frombuffer(b"".join(raw) or b" ", np.uint8), offsets)
    quoted = [out[a:b].tobytes() for a, b in pairwise(at)]
    assert [json.loads(q) for q in quoted] == values
    escaped = np.array([b"\\" in q for q in quoted], np.bool_)
    data, ends = kernel.copies(out, at[:-1] + 1, at[1:] - 1, escaped)
    back = [data[a:b].tobytes().decode() for a, b in pairwise(ends)]
    assert back == values
