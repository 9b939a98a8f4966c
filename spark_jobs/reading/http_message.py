"""The payload of an HTTP response as an archive keeps it, however it was sent."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:")
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_STEP = 1 << 16
_FEED = 1024
"""Bytes that are unpacked at a time, so that little is lost before damage."""


@dataclass(frozen=True)
class Message:
    """Headers and payload of a response."""

    headers: dict[str, list[str]] = field(default_factory=dict)
    """By name in lower case, in their order."""
    payload: bytes = b""
    repairs: int = 0
    """Number of places where it doesn't keep to what its headers say."""
    error: str = ""
    """Why the payload can't be had."""

    def get(self, name: str) -> str:
        """Return the values of a header as one list, as HTTP joins them."""
        return ", ".join(self.headers.get(name, ()))


def parse(block: bytes, limit: int) -> Message:
    """Parse a response from the content of its record.

    Its first line may be missing or odd, and so may the blank line after the headers: what looks
    like no header begins the payload.

    Args:
        block: the content.
        limit: largest payload that is unpacked.
    """
    if not block.startswith(b"HTTP/"):
        return Message(payload=block, repairs=1)
    headers, start = _headers(block)
    message = Message(headers, block[start:])
    payload, repairs = message.payload, 0
    if message.get("transfer-encoding").lower().rpartition(",")[2].strip() == "chunked":
        payload, repairs = _joined(payload)
    for coding in reversed(message.get("content-encoding").lower().split(",")):
        try:
            payload, damaged = _unpacked(payload, coding.strip(), limit)
        except LookupError:
            error = f"content encoding {coding.strip()} is not known"
            return Message(headers, payload, repairs, error)
        except ValueError as damage:
            return Message(headers, payload, repairs, f"damaged content: {damage}")
        repairs += damaged
    if len(payload) > limit:
        error = f"record of more than {limit} bytes, more than input.max_record_bytes"
        return Message(headers, payload[:_STEP], repairs, error)
    return Message(headers, payload, repairs)


def _headers(block: bytes) -> tuple[dict[str, list[str]], int]:
    found: dict[str, list[str]] = {}
    last: list[str] = []
    at = _line_end(block, 0)
    while at < len(block):
        end = _line_end(block, at)
        line = block[at:end].strip()
        if not line:
            return found, end
        if block[at : at + 1] in (b" ", b"\t") and last:
            last[-1] += " " + line.decode("latin-1")
        elif _HEADER.match(line):
            name, _, value = line.partition(b":")
            last = found.setdefault(name.strip().lower().decode("latin-1"), [])
            last.append(value.strip().decode("latin-1"))
        else:
            return found, at
        at = end
    return found, at


def _line_end(block: bytes, at: int) -> int:
    """Where the line at `at` ends, its line break included."""
    end = block.find(b"\n", at)
    return len(block) if end < 0 else end + 1


def _joined(payload: bytes) -> tuple[bytes, int]:
    """(payload of chunks, places that aren't as they should be); as it is where it has none.

    Crawlers often keep the header and join the chunks themselves.
    """
    parts: list[bytes] = []
    at = 0
    while chunk := _CHUNK.match(payload, at):
        size = int(chunk[1], 16)
        if not size:
            return b"".join(parts), 0
        parts.append(payload[chunk.end() : chunk.end() + size])
        at = chunk.end() + size
        at += 2 if payload.startswith(b"\r\n", at) else payload.startswith(b"\n", at)
    if not parts:
        return payload, 0
    return b"".join([*parts, payload[at:]]), 1


_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Bytes that no text has (https://mimesniff.spec.whatwg.org, "binary data byte")."""


def is_text(data: bytes) -> bool:
    """Whether the beginning of data may be text in a known encoding."""
    return _BINARY.search(data[:512].removesuffix(b"\x1b")) is None


def _unpacked(payload: bytes, coding: str, limit: int) -> tuple[bytes, int]:
    """(payload, 1 where only a part of it could be had); as it is where it isn't packed at all.

    Crawlers often keep the header and unpack the payload themselves.

    Raises:
        LookupError: a packing that is not known.
        ValueError: nothing of it can be unpacked.
    """
    coding = coding.removeprefix("x-")
    if coding in ("compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"):
        raise LookupError(coding)
    if coding not in ("gzip", "zstd", "deflate", "br") or not payload:
        return payload, 0  # none, or not a packing: a charset, say, by a server's mistake
    if coding == "gzip":
        unpack = _gunzip if payload.startswith(b"\x1f\x8b") else None
    elif coding == "zstd":
        unpack = _unzstd if payload.startswith(b"\x28\xb5\x2f\xfd") else None
    elif coding == "deflate":  # RFC 9110 means zlib's format, some servers send the bare one
        is_zlib = payload[0] & 15 == 8 and int.from_bytes(payload[:2], "big") % 31 == 0
        unpack = _inflate if is_zlib else _inflate_bare
    else:
        unpack = _unbrotli
    if unpack is None:
        return payload, 0
    parts: list[bytes] = []
    size = 0
    try:
        for part in unpack(payload):
            parts.append(part)
            size += len(part)
            if size > limit:
                break
    except _CutError:
        if unpack in (_inflate_bare, _unbrotli) and is_text(payload):
            return payload, 0
        if not size:
            raise ValueError(f"damaged {coding}") from None
        return b"".join(parts), 1
    return b"".join(parts), 0


class _CutError(Exception):
    """Packed data that is damaged or ends too early."""


def _inflated(payload: bytes, window: int) -> Iterator[bytes]:
    """Unpack zlib's formats in parts of at most `_STEP` bytes; of gzip all members."""
    at = 0
    while not at or (window == 31 and payload.startswith(b"\x1f\x8b", at)):
        member = zlib.decompressobj(window)
        while not member.eof:
            packed = payload[at : at + _FEED]
            if not packed:
                raise _CutError
            try:
                out = member.decompress(packed, _STEP)
            except zlib.error as error:
                raise _CutError from error
            at += len(packed) - len(member.unconsumed_tail) - len(member.unused_data)
            yield out


def _gunzip(payload: bytes) -> Iterator[bytes]:
    return _inflated(payload, 31)


def _inflate(payload: bytes) -> Iterator[bytes]:
    return _inflated(payload, 15)


def _inflate_bare(payload: bytes) -> Iterator[bytes]:
    return _inflated(payload, -15)


def _unzstd(payload: bytes) -> Iterator[bytes]:
    import zstandard

    at = 0
    while payload.startswith(b"\x28\xb5\x2f\xfd", at):
        frame = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof:
            packed = payload[at : at + _FEED]
            if not packed:
                raise _CutError
            try:
                out = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise _CutError from error
            at += len(packed) - len(frame.unused_data)
            yield out


def _unbrotli(payload: bytes) -> Iterator[bytes]:
    import brotli

    state: Any = brotli.Decompressor()
    try:
        for start in range(0, len(payload), _FEED):
            out = state.process(payload[start : start + _FEED], output_buffer_limit=_STEP)
            yield out
            while not state.can_accept_more_data() and not state.is_finished():
                yield state.process(b"", output_buffer_limit=_STEP)
            if state.is_finished():
                return
    except brotli.error as error:
        raise _CutError from error
    raise _CutError
