"""Records of an archive: each comes out once, in order, whatever is wrong with one of them."""

import gzip
import hashlib
import io
import time
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading.warc_records import Record, parse_headers, records

LIMIT = 5000
NOISE = [hashlib.shake_256(b"%d" % k).digest(400) for k in range(6)]


def warc(content: bytes, length: str | None = None, end: bytes = b"\r\n\r\n") -> bytes:
    stated = str(len(content)) if length is None else length
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\n"
    return f"{head}Content-Length: {stated}\r\n\r\n".encode() + content + end


def read(raw: bytes, limit: int = LIMIT, step: int = 1 << 30) -> list[Record]:
    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, step))

    found = list(records(File(raw), limit))
    assert [r.position for r in found] == list(range(1, len(found) + 1))
    return found


def outcomes(found: list[Record]) -> list[bytes | str]:
    return [r.error or r.content for r in found]


def bgzip(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[k : k + 100]) for k in range(0, len(data), 100))


PACKS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress]
PACKINGS: dict[str, Callable[[list[bytes]], bytes]] = {
    "plain": b"".join,
    "gzip per record": lambda r: b"".join(map(gzip.compress, r)),
    "one gzip": lambda r: gzip.compress(b"".join(r)),
    "two records a member": lambda r: b"".join(
        gzip.compress(b"".join(r[k : k + 2])) for k in range(0, len(r), 2)
    ),
    "bgzip": lambda r: bgzip(b"".join(r)),
    "zstd per record": lambda r: b"".join(map(zstandard.compress, r)),
    "one zstd": lambda r: zstandard.compress(b"".join(r)),
    "mixed": lambda r: b"".join(PACKS[k % 3](one) for k, one in enumerate(r)),
    "padded": lambda r: b"".join(gzip.compress(one) + bytes(100) for one in r),
}
RESPONSE = b"HTTP/1.1 200 OK\r\n\r\nWARC/1.0\n"
CONTENTS = [b"first", b"", b"\r\n\r\n", b"x" * 3000, RESPONSE, b"\x1f\x8b\x08"]


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing(packing: str, step: int) -> None:
    raw = PACKINGS[packing]([warc(content) for content in CONTENTS])
    found = read(raw, step=step)
    assert outcomes(found) == CONTENTS
    assert not any(r.repaired for r in found)
    assert found[0].headers["warc-target-uri"] == "http://a.example/"


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    "length", ["3", "0", "1900", "4999", "9" * 18, "9" * 400, "-5", "abc", "1e3", "", "٣"]
)
def test_a_wrong_length_costs_no_record(packing: str, length: str) -> None:
    middle = b"the content of a page, which is longer than three bytes\r\nand more"
    raw = PACKINGS[packing]([warc(b"before"), warc(middle, length), warc(b"after"), warc(b"end")])
    found = read(raw)
    assert len(found) == 4
    assert outcomes(found)[0] == b"before" and outcomes(found)[2:] == [b"after", b"end"]
    if found[1].error:  # longer than allowed, as far as it says
        assert "max_record_bytes" in found[1].error and len(length) == 18
    else:
        assert found[1].content == middle and found[1].repaired


def test_no_length_at_all() -> None:
    raw = warc(b"page").replace(b"Content-Length: 4\r\n", b"")
    found = read(raw + warc(b"after"))
    assert outcomes(found) == [b"page", b"after"] and found[0].repaired


@pytest.mark.parametrize("packing", ["plain", "gzip per record", "one gzip", "one zstd"])
def test_what_is_no_record_counts_as_one(packing: str) -> None:
    for junk in (b"junk between records\r\n", b"HTTP/1.1 200 OK\r\n\r\n" * 50, b"\xff" * 999):
        found = read(PACKINGS[packing]([junk, warc(b"a"), warc(b"b")]))
        assert outcomes(found) == ["not a WARC record", b"a", b"b"]
        assert found[0].content.startswith(junk[:20].strip()) and found[0].size >= len(junk) - 2


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n", b"\r\n" * 9, b" \r\n\t\n"])
def test_any_blank_space_between_records(end: bytes) -> None:
    found = read(b"\r\n" + b"".join(warc(c, end=end) for c in (b"a", b"b", b"c")))
    assert outcomes(found) == [b"a", b"b", b"c"] and not any(r.repaired for r in found)


def test_bare_line_feeds_and_odd_headers() -> None:
    raw = (
        b"WARC/1.1\nwarc-TYPE : resource\nContent-Length:4\n"
        b"X: \xff\xfe\nX: two\n folded\nodd\n\npage\n\n"
        b"WARC/0.18\r\nContent-Length: 1\r\n\r\nx\r\n\r\n"
    )
    found = read(raw)
    assert outcomes(found) == [b"page", b"x"]
    assert found[0].headers == {"warc-type": "resource", "content-length": "4", "x": "ÿþ"}
    assert parse_headers(b"A: b\n c\na: d")["a"] == "b c"


@pytest.mark.parametrize("packing", ["plain", "gzip per record", "one gzip", "bgzip", "one zstd"])
def test_a_record_over_the_limit_is_passed_over(packing: str) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"word " * 100_000
    found = read(PACKINGS[packing]([warc(b"a"), warc(long), warc(b"b")]))
    assert [r.content for r in (found[0], found[2])] == [b"a", b"b"]
    assert "max_record_bytes" in found[1].error and found[1].size == len(long)
    assert found[1].content.startswith(b"HTTP/1.1 200 OK") and found[1].headers["warc-type"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_truncated_archive_keeps_whole_records_and_counts_its_tail(packing: str) -> None:
    contents = [hashlib.sha512(b"%d" % k).hexdigest().encode() * 3 + NOISE[k] for k in range(6)]
    raw = PACKINGS[packing]([warc(c) for c in contents])
    for cut in range(len(raw) // 3, len(raw) - 120, 61):
        found = outcomes(read(raw[:cut]))
        whole = [t for t in found if isinstance(t, bytes)]
        assert whole == contents[: len(whole)] and len(whole) < 6
        assert found == whole or (found[:-1] == whole and "truncated" in str(found[-1]))
        # Only one that is cut between two of its parts ends as a whole archive does.
        assert found != whole or packing not in ("one gzip", "one zstd")


def test_endless_headers_cost_no_record_after_them() -> None:
    raw = warc(b"a") + b"WARC/1.0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n\r\n" + warc(b"b")
    found = outcomes(read(raw))
    assert found[0] == b"a" and found[-1] == b"b" and len(found) == 3


@pytest.mark.parametrize(
    "token",
    [
        b"WARC/1.0\r\nWARC-Type:",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99999999999\r\n\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 9\r\n\r\n",
        b"x\nWARC/1.0\r\nContent-Length: 1\r\n\r\n",
        gzip.compress(b"WARC/1.0\r\nWARC-Type:" * 99),
        gzip.compress(b"WARC/1.0\r\n")[:-9],
        b"\x1f\x8b\x08\0\0\0\0\0\0\3",
    ],
    ids=["headers", "long", "short", "junk", "members", "cut members", "beginnings"],
)
def test_hostile_archives_take_linear_time_and_room(token: bytes) -> None:
    def cost(times: int) -> tuple[float, int]:
        raw = b"\r\n" * token.startswith(b"x") + token * times
        began = time.process_time()
        found = read(raw)
        return time.process_time() - began, sum(len(r.content) for r in found)

    cost(100)
    few, small = min(cost(1_000) for _ in range(3))
    many, large = cost(8_000)
    assert many < 8 * 4 * few + 0.1 and large <= 8 * 2 * small + 99_999


def test_a_damaged_member_is_one_lost_record() -> None:
    pages = [b"page %d " % k * 50 for k in range(5)]
    members = [gzip.compress(warc(page)) for page in pages]
    for at in (12, len(members[2]) // 2, len(members[2]) - 6):
        spoiled = bytearray(members[2])
        spoiled[at : at + 4] = bytes(b ^ 0x5A for b in spoiled[at : at + 4])
        found = read(b"".join([*members[:2], bytes(spoiled), *members[3:]]))
        assert len(found) == 5 and "damaged gzip" in found[2].error
        assert all(found[k].content == pages[k] for k in (0, 1, 3, 4))


@given(st.binary(max_size=500), st.integers(1, 50))
def test_any_bytes_are_read_to_their_end(raw: bytes, step: int) -> None:
    assert outcomes(read(raw, step=step)) == outcomes(read(raw))
    found = read(raw + b"\n" + warc(b"after"))
    assert found[-1].content == b"after" or found[-1].error or raw


PAGE = st.binary(max_size=80) | st.sampled_from(
    [
        b"WARC/1.0\r\n",
        b"WARC/1.0",
        b"\r\nWARC/1.0 ",
        b"\n\nWARC",
        b"\x1f\x8b\x08\0",
        b"\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
    ]
)


@given(st.lists(PAGE, max_size=8), st.sampled_from(list(PACKINGS)), st.sampled_from([1, 64, 9999]))
def test_as_many_records_out_as_in(pages: list[bytes], packing: str, step: int) -> None:
    found = read(PACKINGS[packing]([warc(page) for page in pages]), step=step)
    assert outcomes(found) == pages
