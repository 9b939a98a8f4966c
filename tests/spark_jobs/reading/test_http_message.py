"""Responses as archives keep them: every packing, joined or not, whole or damaged."""

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading.http_message import Message, is_text, parse

BODY = b"".join(b"line %d of the page, %d\n" % (k, k * 7919 % 1009) for k in range(3000))
LIMIT = 1 << 20


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": lambda d: gzip.compress(d[:5000]) + gzip.compress(d[5000:]),
    "deflate": zlib.compress,
    " deflate": bare,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda d: brotli.compress(gzip.compress(d)),
    "identity": bytes,
    "": bytes,
    "utf-8": bytes,
}


def response(payload: bytes, *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode() + payload


def chunked(payload: bytes, size: int = 1000) -> bytes:
    parts = [payload[k : k + size] for k in range(0, len(payload), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("coding", PACKINGS)
def test_every_content_encoding(coding: str) -> None:
    packed = PACKINGS[coding](BODY)
    header = f"Content-Encoding: {coding}"
    assert parse(response(packed, header), LIMIT).payload == BODY
    both = parse(response(chunked(packed), header, "Transfer-Encoding: chunked"), LIMIT)
    assert both.payload == BODY and both.repairs == 0


@pytest.mark.parametrize("coding", PACKINGS)
def test_a_crawler_that_unpacked_the_payload_and_kept_the_header(coding: str) -> None:
    headers = (f"Content-Encoding: {coding}", "Transfer-Encoding: chunked")
    for payload in (BODY, b"<p>short</p>", b"", b"\n\n"):
        assert parse(response(payload, *headers), LIMIT) == Message(
            {"content-encoding": [coding.strip()], "transfer-encoding": ["chunked"]}, payload
        )


@pytest.mark.parametrize("coding", ["gzip", "deflate", " deflate", "br", "zstd"])
def test_damaged_content_keeps_its_beginning_and_is_counted(coding: str) -> None:
    big = b"".join(zlib.crc32(b"%d" % k).to_bytes(4, "big").hex().encode() for k in range(99_999))
    packed = PACKINGS[coding](big)
    for cut in (packed[: len(packed) // 2], packed[:-9]):
        found = parse(response(cut, f"Content-Encoding: {coding}"), LIMIT)
        assert found.repairs == 1 and big.startswith(found.payload) and len(found.payload) > 99_999
    broken = packed[:20] + b"\xff" * 40
    found = parse(response(broken, f"Content-Encoding: {coding}"), LIMIT)
    assert found.error.startswith("damaged content") or found.repairs == 1


def test_what_cannot_be_unpacked_says_so() -> None:
    assert "compress" in parse(response(b"\x1f\x9d", "Content-Encoding: compress"), LIMIT).error


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_stops_at_the_limit(coding: str) -> None:
    packed = PACKINGS[coding](bytes(16 << 20))
    found = parse(response(packed, f"Content-Encoding: {coding}"), LIMIT)
    assert "max_record_bytes" in found.error and len(found.payload) <= LIMIT


@pytest.mark.parametrize(
    ("block", "kind", "payload"),
    [
        (b"HTTP/1.0 200\r\ncontent-TYPE:  a/b \r\n\r\nx", "a/b", b"x"),
        (b"HTTP/1.1 200 OK\nContent-Type: a/b;\n\tc=d\n\nx", "a/b; c=d", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n<html>\r\n\r\nx", "a/b", b"<html>\r\n\r\nx"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n", "a/b, c/d", b""),
        (b"HTTP/1.1 200 OK\r\n: odd\r\n\r\nx", "", b": odd\r\n\r\nx"),
        (b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\nx", "", b"x"),
        (b"HTTP/1.1 200 OK", "", b""),
        (b"<html>x", "", b"<html>x"),
        (b"", "", b""),
    ],
)
def test_odd_headers_cost_nothing_of_the_payload(block: bytes, kind: str, payload: bytes) -> None:
    found = parse(block, LIMIT)
    assert (found.get("content-type"), found.payload) == (kind, payload)


def test_chunks_that_break_off_keep_the_rest() -> None:
    whole = chunked(BODY)
    found = parse(response(whole[:-500], "Transfer-Encoding: chunked"), LIMIT)
    assert found.repairs == 1 and BODY.startswith(found.payload) and len(found.payload) > 70_000
    odd = whole.replace(b"3e8;a=b", b"zzz;a=b", 3).replace(b"zzz;a=b", b"3e8;a=b", 2)
    found = parse(response(odd, "Transfer-Encoding: chunked"), LIMIT)
    assert found.repairs == 1 and found.payload.startswith(BODY[:2000]) and BODY[-99:] in odd


@pytest.mark.parametrize(
    ("data", "text"), [(b"a\tb\r\n\x0c", True), ("文".encode(), True), (b"\x89PNG\0", False)]
)
def test_text_has_no_binary_bytes(data: bytes, text: bool) -> None:
    assert is_text(data) == text


@given(st.binary(max_size=400), st.sampled_from(list(PACKINGS)), st.booleans())
def test_any_block_is_a_message(payload: bytes, coding: str, join: bool) -> None:
    headers = [f"Content-Encoding: {coding}"] + ["Transfer-Encoding: chunked"] * join
    found = parse(response(payload, *headers), LIMIT)
    assert found == parse(response(payload, *headers), LIMIT)
    assert parse(payload, LIMIT).payload is not None
