"""The cutting of byte streams into whole lines, whatever the sizes of the blocks."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.files.unpack import DamagedError
from headrace.spark_jobs.kernels import lines
from headrace.spark_jobs.kernels.lines import Block, Cutter, Lost, line_starts


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in [*sizes, len(data)]:
        if data[at : at + size]:
            yield data[at : at + size]
        at += size


@given(st.lists(st.sampled_from([b"", b"a", b"bc" * 9, b"\r"])), st.lists(st.integers(1, 7)))
def test_lines_come_out_as_they_went_in(parts: list[bytes], sizes: list[int]) -> None:
    data = b"\n".join(parts)
    out = list(Cutter(1, 100).cut(pieces(data, sizes)))
    assert b"".join(b.data for b in out if isinstance(b, Block)) == data
    assert not any(isinstance(b, Lost) for b in out)


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(1, 9), max_size=30))
def test_a_long_line_is_lost_at_its_position_and_no_other(
    lengths: list[int], sizes: list[int]
) -> None:
    data = b"".join(b"x" * n + b"\n" for n in lengths)
    lost, kept = [], {}
    for item in Cutter(1, 10).cut(pieces(data, sizes)):
        if isinstance(item, Lost):
            lost.append((item.position, item.length))
        else:
            starts = line_starts(item.data)
            for k, (a, b) in enumerate(pairwise(starts)):
                kept[item.first + k] = int(b - a) - 1
    # A line that is just too long may still arrive whole in one block; then the reader drops it.
    assert {**kept, **dict(lost)} == dict(enumerate(lengths, 1))
    assert all(n > 10 for _, n in lost)


def test_the_tail_of_a_damaged_stream_is_one_lost_line() -> None:
    def damaged() -> Iterator[bytes]:
        yield b"one\ntwo\nthr"
        raise DamagedError("cut")

    whole, tail = Cutter(5, 100).cut(damaged())
    assert isinstance(whole, Block) and whole.data == b"one\ntwo\n" and whole.first == 5
    assert tail == Lost(7, b"thr", 3, "cut")


def test_memory_holds_a_window_and_not_a_line() -> None:
    cutter = Cutter(1, 1 << 20)
    out = list(cutter.cut(b"y" * (1 << 18) for _ in range(400)))
    assert isinstance(out[0], Lost)
    assert out == [Lost(1, b"y" * lines.HEAD_BYTES, 400 << 18, out[0].error)]
