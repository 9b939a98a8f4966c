"""What a file is: by its first bytes, and by its name where they leave that open.

`examine` gives one verdict per file: how it is read, a note where it is not what its name says, or
why it can't be read. It looks at the first kilobytes alone, so the verdict is the same however the
file is read later, and costs nothing.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from headrace.infra.files.unpack import DamagedError, codec_of, unpacked
from headrace.spark_jobs.reading import text_encoding
from headrace.spark_jobs.reading.magic import binary

HEAD = 1 << 20
"""Bytes of a file that `examine` wants: as many as a block of a compressed one may need."""
_SEEN = 1 << 16
"""Bytes of its content that it looks at."""

Kind = Literal["lines", "array", "table", "parquet", "warc", "html", "text"]
_NAMES: dict[str, Kind] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json", ".jsonlines"), "lines"),
    **dict.fromkeys((".warc", ".wet"), "warc"),
    **dict.fromkeys((".csv", ".tsv"), "table"),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".shtml"), "html"),
    ".parquet": "parquet",
}
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_SAYS = {
    "lines": "JSON Lines",
    "array": "a JSON array, read element by element",
    "table": "a table, read row by row",
    "parquet": "Parquet",
    "warc": "a web archive",
    "html": "an HTML page",
    "text": "plain text",
}
_ALWAYS_NOTED = ("table", "html")
"""Kinds that a folder of text may hold by accident: they are named in any case."""
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_MARKS = tuple(("\ufeff".encode(encoding), encoding) for encoding in _WIDE)
_HTML = re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_XML = re.compile(rb"<\?xml\s|<svg\b|<!doctype\s", re.IGNORECASE)
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\f\r\x1b")
_FIRST = 20
"""Lines that must be JSON objects before a file of another name counts as JSON Lines."""
_NOT_ASCII = bytes(range(128, 256))
_TELLING = 40
"""Bytes outside ASCII from which their encoding is guessed."""
_ONE_PER_LINE = "write one per line, with `jq -c .` for example"
_COMMON = {"gbk": "GB18030 (GBK)", "gb18030": "GB18030 (GBK)", "big5": "Big5"}


@dataclass(frozen=True)
class Content:
    """How a file is read, or why it can't be."""

    kind: Kind
    codec: str = ""
    """gzip or zstd; of a file that can't be read, any other name: it is compressed."""
    encoding: str = ""
    """Python's name of it, where it isn't UTF-8."""
    ending: str = "\n"
    """What ends a line: a line feed, or a carriage return alone."""
    note: str = ""
    """What the file is, where that isn't what its name says, or is in doubt."""
    error: str = ""
    """Why it can't be read."""


def named(name: str) -> tuple[Kind, str]:
    """(kind, codec) that a file's name says; what it doesn't say is plain text."""
    stem = name.lower()
    codec = next((c for ending, c in _CODECS.items() if stem.endswith(ending)), "")
    stem = stem.rsplit(".", 1)[0] if codec else stem
    return next((kind for ending, kind in _NAMES.items() if stem.endswith(ending)), "text"), codec


def examine(name: str, head: bytes, whole: bool) -> Content:
    """Return the verdict on a file.

    Args:
        name: of the file, without folders.
        head: its first `HEAD` bytes.
        whole: whether that is all of it.
    """
    kind, codec = named(name)
    if not head:
        return Content(kind, codec)
    packed = codec_of(head)
    seen, whole = (
        _unpacked(head, packed) if packed else (head[:_SEEN], whole and len(head) <= _SEEN)
    )
    # Of an empty or damaged one nothing is seen: reading it says which.
    found = _inside(kind, packed, seen, whole) if seen else Content(kind)
    if found.error:
        return replace(found, codec=packed or found.codec)
    found = replace(found, codec=packed)
    return replace(found, note=", ".join(_differences(kind, codec, found)))


def _unpacked(head: bytes, codec: str) -> tuple[bytes, bool]:
    """Return (the first bytes of what is packed, whether they are all)."""
    seen = bytearray()
    try:
        for block in unpacked(io.BytesIO(head), codec):
            seen += block[: _SEEN + 1]
            if len(seen) > _SEEN:
                return bytes(seen[:_SEEN]), False
    except DamagedError:
        return bytes(seen), False
    return bytes(seen), True


def _differences(kind: Kind, codec: str, found: Content) -> Iterator[str]:
    """How a file differs from what its name says."""
    if found.kind != kind or kind in _ALWAYS_NOTED:
        yield _SAYS[found.kind]
    if found.codec != codec:
        yield f"compressed with {found.codec}" if found.codec else "not compressed"
    if found.encoding:
        yield f"in {found.encoding.upper()}"
    if found.ending == "\r":
        yield "lines that end with a carriage return alone"
    if found.note:
        yield found.note


def _inside(kind: Kind, packed: str, seen: bytes, whole: bool) -> Content:
    """Return the verdict on content, once it is unpacked."""
    within = f" (inside {packed})" if packed else ""
    if seen.startswith(b"PAR1"):
        return Content("parquet", error=f"Parquet inside {packed}: unpack it" if packed else "")
    if again := codec_of(seen):
        return Content(kind, error=f"{again} inside {packed}: unpack it once")
    if wide := _wide(kind, seen):
        text = seen.decode(wide, "ignore").encode("utf-8", "ignore")
        return replace(_text(kind, text.removeprefix(codecs.BOM_UTF8), whole), encoding=wide)
    if found := binary(seen):
        return Content(kind, found.name if found.packed else "", error=f"{found}{within}")
    return _text(kind, seen.removeprefix(codecs.BOM_UTF8), whole)


def _wide(kind: Kind, seen: bytes) -> str:
    """UTF-16 or UTF-32, by a mark at the start or by where its zeros are; "" for all else.

    Without a mark it must be unmistakable: zeros at one place in a twentieth of the units or more
    (the high byte of ASCII), and less than half as many at the other (the low byte of U+4E00, for
    one); and no control characters. JSON must begin like JSON.
    """
    marked = [encoding for mark, encoding in _MARKS if seen.startswith(mark)]
    for encoding in marked or _WIDE:
        size = int(encoding[4:6]) // 8
        part = seen[: len(seen) // size * size]
        if not marked:
            first, last = part[::size], part[size - 1 :: size]
            low, high = (first, last) if encoding.endswith("le") else (last, first)
            zeros = high.count(0)
            if zeros * 20 < len(high) or zeros <= 2 * low.count(0) or len(part) < 2 * size:
                continue
        try:
            errors = "surrogatepass" if marked else "strict"
            text = codecs.getincrementaldecoder(encoding)(errors).decode(part)
        except UnicodeDecodeError:
            continue
        plain = not set(text) & {chr(c) for c in _CONTROLS}
        if plain and (kind != "lines" or text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")):
            return encoding
    return ""


def _text(kind: Kind, seen: bytes, whole: bool) -> Content:
    """Return the verdict on what has no signature of a binary format."""
    start = seen.lstrip()
    if start.startswith(b"WARC/"):
        return Content("warc")
    if start[:1] in (b"{", b"[") and (found := _json(kind, seen, whole)):
        return found
    if _HTML.match(_markup(start)):
        if kind in ("html", "text"):
            return Content("html")
        return Content(kind, error=f"an HTML page, not {_said(kind)}")
    if _XML.match(start):
        return Content(kind, error="XML: extract its text first")
    if kind == "text":
        return Content(kind)
    if _is_binary(seen) and b"\n{" not in seen:
        return Content(kind, error=f"binary data, not {_said(kind)}")
    if kind == "parquet" or (kind == "warc" and b"WARC/" not in seen):
        return Content(kind, error=f"plain text, not {_said(kind)}")
    return _lines(seen, whole) if kind == "lines" else Content(kind)


def _said(kind: Kind) -> str:
    return _SAYS[kind].split(",")[0]


def _markup(start: bytes) -> bytes:
    """Markup without the comments and declarations that it begins with."""
    while start[:4] == b"<!--" or start[:5].lower() == b"<?xml":
        end = start.find(b"-->" if start[:2] == b"<!" else b"?>")
        start = start[end + 2 :].lstrip(b"> \t\r\n") if end > 0 else b""
    return start


def _is_binary(seen: bytes) -> bool:
    return b"\0" in seen or len(seen.translate(None, _CONTROLS)) * 10 < len(seen) * 9


def _complete(seen: bytes, whole: bool, ending: str = "\n") -> list[bytes]:
    """Return the lines that are not blank; the last one only where the content ends with it."""
    lines = seen.split(ending.encode())
    return [line for line in (lines if whole else lines[:-1]) if line.strip()]


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8", "replace")), dict)
    except (ValueError, RecursionError):
        return False


def _lines(seen: bytes, whole: bool, ending: str = "\n") -> Content:
    """JSON Lines, with a doubt where the first ones are none, or not UTF-8."""
    lines = _complete(seen, whole, ending)
    foreign = [line for line in lines if not line.isascii()]
    wrong = [line for line in foreign if not _is_utf8(line)]
    note = ""
    if len(wrong) * 2 > len(foreign) and (guess := encoding_of(b"".join(wrong))):
        note = f"not UTF-8, {guess}"
    elif lines and not any(map(_is_object, lines)):
        note = "its first lines are not JSON"
    return Content("lines", ending=ending, note=note)


def _is_utf8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def encoding_of(data: bytes) -> str:
    """Guess the encoding of text that isn't UTF-8, as a remark; "" where none fits."""
    data = data[:_SEEN]
    if len(data) - len(data.translate(None, _NOT_ASCII)) < _TELLING:
        return ""
    guess = text_encoding.detect(data)
    if text_encoding.decode_as(data, guess).repairs:
        return ""
    return f"{_COMMON.get(guess, guess)} by its bytes: convert it with iconv"


def _json(kind: Kind, seen: bytes, whole: bool) -> Content | None:
    """Return the verdict on what begins like JSON; None where it may be text all the same."""
    ending = "\r" if b"\n" not in seen and b"\r" in seen.strip() else "\n"
    lines = _complete(seen, whole, ending)
    text = seen.decode("utf-8", "replace").lstrip()
    if text[0] == "[":
        return _array(kind, text, any(map(_is_object, lines))) or (
            _lines(seen, whole) if kind == "lines" else None
        )
    if lines and (any if kind == "lines" else all)(map(_is_object, lines[:_FIRST])):
        return _lines(seen, whole, ending)
    _, stop = _value(text)
    rest = text[stop:].lstrip()
    if re.search(r"[\r\n]", text[:stop]) and (kind == "lines" or not rest or rest[0] == "{"):
        return Content(kind, error=f"JSON objects over several lines: {_ONE_PER_LINE}")
    if stop and rest.startswith("{"):
        return Content(kind, error=f"JSON objects without line ends between them: {_ONE_PER_LINE}")
    if kind != "lines":
        return None
    if not stop and re.match(r'\{\s*[\r\n]\s*"', text):
        return Content(kind, error=f"JSON objects over several lines: {_ONE_PER_LINE}")
    return _lines(seen, whole)


def _value(text: str) -> tuple[object, int]:
    """Return (the JSON value that a text begins with, where it ends), or (None, 0)."""
    try:
        return json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0


def _array(kind: Kind, text: str, has_objects: bool) -> Content | None:
    """Return the verdict on what begins with a bracket; None where it isn't one array.

    `has_objects`: whether lines of it are objects by themselves.
    """
    _, stop = _value(text)
    if stop and text[stop:].strip():
        return None
    element = text[1:].lstrip()
    _, end = _value(element)
    is_element = element[end:].lstrip()[:1] in (",", "]") if end else not has_objects
    if is_element and (kind == "lines" or element.startswith("{")):
        return Content("array")
    return None
