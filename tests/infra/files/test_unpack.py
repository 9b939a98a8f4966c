"""Compressed streams: all of what is whole comes out, in bounded pieces, however it is damaged."""

import gzip
import io
import random
import tracemalloc
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.files.unpack import BLOCK, LONGEST_WINDOW, DamagedError, Reader, unpacked

TEXT = b"".join(b'{"text": "%d"}\n' % random.Random(k).getrandbits(64) for k in range(20_000))


def packed(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return gzip.compress(data)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def out_of(codec: str, data: bytes) -> tuple[bytes, DamagedError | None]:
    """(What comes out, the damage)."""
    out = bytearray()
    try:
        for block in unpacked(io.BytesIO(data), codec):
            assert 0 < len(block) <= BLOCK
            out += block
    except DamagedError as damage:
        return bytes(out), damage
    return bytes(out), None


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@given(parts=st.lists(st.binary(max_size=300), max_size=4), padding=st.integers(0, 3))
def test_all_members_come_out(codec: str, parts: list[bytes], padding: int) -> None:
    between = b"\0" * padding if codec == "gzip" else b""
    data = between.join(packed(codec, p) for p in parts) + between
    assert out_of(codec, data) == (b"".join(parts), None)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_is_whole_before_the_cut_comes_out(codec: str, share: float) -> None:
    data = packed(codec, TEXT)
    out, damage = out_of(codec, data[: int(len(data) * share)])
    assert damage is not None and "truncated" in str(damage)
    block = 128 << 10 if codec == "zstd" else 64 << 10
    assert TEXT.startswith(out) and len(out) > len(TEXT) * share - block
    assert damage.left == 0


def test_what_stands_before_damaged_gzip_comes_out() -> None:
    """The first member is sound: not a byte of it is lost, and what lies behind is counted."""
    first, second = gzip.compress(TEXT[:3000]), gzip.compress(TEXT)
    out, damage = out_of("gzip", first + b"\x1f\x8b\x08\xff" + second)
    assert out[:3000] == TEXT[:3000] and damage is not None
    assert abs(damage.left - len(second)) < 100
    assert damage.used + damage.left == len(first) + 4 + len(second)


def test_what_stands_before_damaged_zstd_comes_out() -> None:
    first, second = packed("zstd", TEXT[:3000]), packed("zstd", TEXT)
    out, damage = out_of("zstd", first + second[:-2000] + b"\xff" * 2000)
    assert out[:3000] == TEXT[:3000] and damage is not None and "damaged" in str(damage)
    assert 0 < damage.left < len(second)


def test_zstd_of_a_long_window_is_read() -> None:
    """`zstd --long=31`: the frame asks for two gigabytes, its content fills little of them."""
    whole = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    ).compressobj()
    data = whole.compress(TEXT) + whole.flush()
    assert zstandard.get_frame_parameters(data).window_size == LONGEST_WINDOW
    assert out_of("zstd", data) == (TEXT, None)


def test_frames_that_are_skipped_hold_nothing() -> None:
    note = bytes.fromhex("502a4d18") + (5).to_bytes(4, "little") + b"hello"
    data = note + packed("zstd", b"one") + note + packed("zstd", b"two") + note
    assert out_of("zstd", data) == (b"onetwo", None)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_bomb_is_unpacked_in_bounded_memory(codec: str) -> None:
    data = packed(codec, bytes(200_000_000))
    tracemalloc.start()
    size = sum(map(len, unpacked(io.BytesIO(data), codec)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 200_000_000 and peak < 100 << 20


@given(st.lists(st.binary(max_size=20)), st.integers(0, 30), st.integers(1, 9))
def test_a_reader_gives_every_byte_once(blocks: list[bytes], ahead: int, size: int) -> None:
    stream, whole = Reader(iter(blocks)), b"".join(blocks)
    assert stream.peek(ahead) == whole[:ahead]
    assert b"".join(iter(lambda: stream.read(size), b"")) == whole


def test_a_reader_raises_where_the_damage_is() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"whole"
        raise DamagedError("cut")

    stream = Reader(blocks())
    assert stream.peek(100) == b"whole" and stream.read(5) == b"whole"
    with pytest.raises(DamagedError):
        stream.read(1)
