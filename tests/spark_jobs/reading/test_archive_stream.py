"""Content of archives: every packing, several in one file, damaged parts and what follows them."""

import gzip
import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import zstandard

from headrace.spark_jobs.reading.archive_stream import ArchiveStream, Boundary, Piece, is_packed

TEXTS = [b"WARC/1.0\r\npart %d\r\n" % k * (k + 1) for k in range(4)]
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, 200_000, np.uint8).tobytes()


def zstd_dictionary() -> zstandard.ZstdCompressionDict:
    samples: list[bytes | bytearray | memoryview] = [
        b"WARC/1.0\r\nWARC-Type: response\r\nrecord %d" % (k * 7919) for k in range(2000)
    ]
    return zstandard.train_dictionary(4096, samples)


def read(raw: bytes, step: int = 1 << 30) -> list[bytes | str]:
    """The pieces of a file, put together between boundaries, and the errors."""

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, step))

    stream = ArchiveStream(File(raw))
    found: list[bytes | str] = []
    part = b""
    while (piece := stream.next()) is not None:
        if isinstance(piece, Piece):
            part += piece.data
            continue
        found += [part] if part else []
        found += [piece.error] if piece.error else []
        part = b""
    return [*found, part] if part else found


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_part_per_record_and_one_for_all(pack: Callable[[bytes], bytes], step: int) -> None:
    assert read(b"".join(map(pack, TEXTS)), step) == TEXTS
    assert read(pack(b"".join(TEXTS)), step) == [b"".join(TEXTS)]


def test_parts_packed_in_different_ways_follow_each_other() -> None:
    raw = gzip.compress(TEXTS[0]) + zstandard.compress(TEXTS[1]) + bytes(512) + TEXTS[2]
    assert read(raw) == TEXTS[:3]
    assert read(TEXTS[0]) == [TEXTS[0]] and read(b"") == [] and read(gzip.compress(b"")) == []


def test_bytes_that_are_given_back_are_read_as_a_packed_part() -> None:
    stream = ArchiveStream(io.BytesIO(b"plain"))
    assert stream.next() == Piece(b"plain", True) and stream.next() is None
    stream.unread(gzip.compress(b"packed"))
    assert [stream.next(), stream.next(), stream.next()] == [
        Piece(b"packed", False),
        Boundary(),
        None,
    ]


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "bare"])
def test_the_dictionary_of_a_warc_zst(packed: bool) -> None:
    dictionary = zstd_dictionary()
    content = dictionary.as_bytes()
    content = zstandard.compress(content) if packed else content
    head = b"\x5d\x2a\x4d\x18" + struct.pack("<I", len(content)) + content
    pack = zstandard.ZstdCompressor(dict_data=dictionary).compress
    other = b"\x53\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
    raw = head + pack(TEXTS[0]) + other + pack(TEXTS[1])
    assert read(raw) == read(raw, 5) == TEXTS[:2]
    cut = read(raw[:100])
    assert cut == ["damaged zstd: the file's dictionary isn't whole"]
    spoiled = read(head[:8] + bytes(len(content)) + pack(TEXTS[0]))
    assert "zstd" in spoiled[-1]


@pytest.mark.parametrize("log", [27, 30, 31])
def test_long_windows(log: int) -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=log, enable_ldm=True)
    packer = zstandard.ZstdCompressor(
        compression_params=settings
    ).compressobj()  # no size is stored
    assert read(packer.compress(TEXTS[3]) + packer.flush()) == [TEXTS[3]]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("step", [100, 1 << 20])
def test_a_damaged_part_ends_alone(pack: Callable[[bytes], bytes], step: int) -> None:
    middle = bytearray(pack(b"WARC/1.0 " + NOISE))
    middle[len(middle) // 2 :] = b"\xff" * (len(middle) - len(middle) // 2)
    raw = pack(TEXTS[0]) + middle + pack(TEXTS[1]) + pack(TEXTS[2])
    first, *between, last, end = read(raw, step)
    assert [first, last, end] == TEXTS[:3]
    [error] = [e for e in between if isinstance(e, str)]
    assert error.startswith("damaged")


def test_what_comes_before_damage_is_given_out() -> None:
    text = b"WARC/1.0 " + b"".join(b"%d " % k for k in range(50_000))
    packed = bytearray(gzip.compress(text))
    at = len(packed) * 3 // 4
    packed[at : at + 40] = b"\xff" * 40
    found, error = read(bytes(packed))
    assert found[: len(text) * 7 // 10] == text[: len(text) * 7 // 10]
    assert isinstance(error, str) and error.startswith("damaged gzip")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_truncated_part_says_so(pack: Callable[[bytes], bytes]) -> None:
    raw = pack(TEXTS[0]) + pack(NOISE)
    *_, error = read(raw[:-1000])
    assert isinstance(error, str) and error.startswith("truncated")
    assert read(raw)[0] == TEXTS[0]


def test_a_wrong_checksum_is_damage() -> None:
    packed = bytearray(gzip.compress(TEXTS[0]))
    packed[-6] ^= 1
    found = read(bytes(packed) + gzip.compress(TEXTS[1]))
    assert found[0] == TEXTS[0] and "check" in found[1] and found[2] == TEXTS[1]


def test_false_beginnings_in_damage_are_passed_over() -> None:
    broken = gzip.compress(NOISE)[:5000] + b"\x1f\x8b\x08\0\0\0\0\0\0\3x\x28\xb5\x2f\xfd" * 500
    *_, last = read(broken + gzip.compress(b"not a record") + gzip.compress(TEXTS[0]))
    assert last == TEXTS[0]


def test_a_bomb_comes_in_bounded_pieces() -> None:
    for raw in (gzip.compress(bytes(40 << 20)), zstandard.compress(bytes(40 << 20))):
        stream = ArchiveStream(io.BytesIO(raw))
        sizes = []
        while isinstance(piece := stream.next(), Piece):
            sizes.append(len(piece.data))
        assert max(sizes) <= 1 << 20 and sum(sizes) == 40 << 20


def test_what_begins_a_packed_part() -> None:
    assert is_packed(gzip.compress(b"")) and is_packed(zstandard.compress(b""))
    assert is_packed(b"\x5d\x2a\x4d\x18") and not is_packed(b"WARC/1.0") and not is_packed(b"")
