"""A JSON array in a stream: each element is a line, whatever blocks it comes in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.files.unpack import DamagedError
from headrace.spark_jobs.kernels.elements import elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\{}[],:\n中 ', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('a",]\\'), inner, max_size=3)
    ),
    max_leaves=8,
)


def lines(data: bytes, size: int = 7) -> tuple[list[bytes], str]:
    """(The lines that come out, the damage)."""
    out = b""
    try:
        for block in elements([data[k : k + size] for k in range(0, len(data), size)]):
            out += block
    except DamagedError as damage:
        return out.split(b"\n"), str(damage)
    return out.split(b"\n"), ""


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 0, 2]), st.integers(1, 9))
def test_every_element_is_one_line(array: list[Any], indent: int | None, size: int) -> None:
    """Compact or over many lines, in UTF-8 or escaped, in blocks of any size."""
    for ascii_only in (False, True):
        data = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode()
        found, damage = lines(b"\xef\xbb\xbf \n" + data + b"\n", size)
        assert not damage
        assert [json.loads(line) for line in found if line.strip()] == array


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_a_cut_array_gives_its_whole_elements_and_says_so(array: list[Any], data: Any) -> None:
    whole = json.dumps(array).encode()
    cut = data.draw(st.integers(1, len(whole) - 1))
    found, damage = lines(whole[:cut])
    assert "truncated" in damage
    complete = [json.loads(line) for line in found[:-1]]
    assert complete == array[: len(complete)]


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"[]", [b""]),
        (b'[{"a":1},,{"b":2}]', [b'{"a":1}', b",", b'{"b":2}', b""]),
        (b'[{"a":1},]', [b'{"a":1}', b""]),
        (b'[{"a":1]},{"b":2}]', [b'{"a":1]}', b'{"b":2}', b""]),
        (b'[{"a":\n"x\ny"}]', [b'{"a": "x\ry"}', b""]),
        (b'[1]\n{"after": 1}\n', [b"1", b"", b'{"after": 1}', b""]),
    ],
)
def test_odd_arrays(data: bytes, want: list[bytes]) -> None:
    """What is no JSON stays none, and costs no element but itself."""
    assert lines(data) == (want, "")
