"""UTF-8 checks against Python's own decoder."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.spark_jobs.kernels.utf8 import blank_slices, valid_slices


def slices(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ends = np.cumsum([len(p) for p in parts], dtype=np.int64)
    data = np.frombuffer(b"".join(parts) or b"\0", np.uint8)
    return data, np.append(0, ends)[:-1], ends


def decodes(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


# Whole characters with one byte changed reach every branch of the decoder's table.
broken = st.builds(
    lambda text, at, byte: (r := text.encode("utf-8", "surrogatepass"))[:at] + byte + r[at + 1 :],
    st.text(st.characters(codec=None), min_size=1, max_size=4),
    st.integers(0, 8),
    st.binary(max_size=1),
)


@given(st.lists(st.one_of(st.binary(max_size=6), broken), max_size=8))
@example([b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xc1\xbf", b"\xf0\x8f\xbf\xbf"])
def test_valid_is_what_python_decodes(parts: list[bytes]) -> None:
    assert valid_slices(*slices(parts)).tolist() == [decodes(p) for p in parts]


def test_a_character_does_not_borrow_from_the_next_slice() -> None:
    assert valid_slices(*slices(["中".encode()[:2], "中".encode()[2:]])).tolist() == [False, False]


def test_blank() -> None:
    parts = ["", " \t\r\n", "\u3000\u00a0\u2003\u200b\ufeff", "。", " a", "\u3000中"]
    found = blank_slices(*slices([p.encode() for p in parts]))
    assert found.tolist() == [True, True, True, False, False, False]
