"""The text of bytes that may name their encoding wrongly, or not at all.

The order is that of the WHATWG (https://encoding.spec.whatwg.org, https://html.spec.whatwg.org,
"determining the character encoding"): byte order mark, label of the transport, declaration in the
first 1,024 bytes, then UTF-8 where the bytes are UTF-8, then Firefox's detector. Decoding never
fails: what can't be decoded becomes U+FFFD, and is counted.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PRESCAN_BYTES = 1024
"""Where a page may declare its encoding."""
SAMPLE_BYTES = 1 << 16
"""What a label is judged by."""
EVIDENCE = 8
"""A label is overruled by at least so many characters that contradict it, so that a bad byte in a
short text can't."""
DAMAGED = 0.1
"""Text is UTF-8 where at most this share of its non-ASCII bytes is none: damaged UTF-8 stays below,
Chinese in GBK or Big5 is above .6, French in ISO 8859-1 at 1 (`test_bounds_of_the_evidence`)."""
CONTRADICTED = 0.3
"""A label is wrong where more than this share of the non-ASCII bytes can't be decoded by it."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)
_UNUSABLE = {"replacement"}
"""Labels that the standard knows and decodes to nothing (hz-gb-2312, iso-2022-kr)."""
_PYTHON = {"gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc-kr": "cp949"}
"""Where Python's codec of a name knows fewer characters than the standard's decoder."""
_BEYOND = bytes(range(0x80, 0x100))
_repairs = threading.local()


@dataclass(frozen=True)
class Decoded:
    """A text, and how it was had."""

    text: str
    encoding: str
    """Name in the WHATWG table, in lower case."""
    repairs: int
    """Number of places that could not be decoded."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if error.encoding == "gb18030" and error.object[error.start] == 0x80:
        return "€", error.start + 1  # the standard's decoder has it, Python's hasn't
    _repairs.count += 1
    return "\ufffd", error.end


codecs.register_error("headrace.replace", _replace)


def find(label: str) -> str | None:
    """Look up a label's encoding in the WHATWG table, None where it has none that can be read."""
    import webencodings

    found = webencodings.lookup(label)
    return found.name if found and found.name not in _UNUSABLE else None


def _codec(encoding: str) -> codecs.CodecInfo:
    import webencodings

    if encoding in _PYTHON:
        return codecs.lookup(_PYTHON[encoding])
    found: codecs.CodecInfo = webencodings.lookup(encoding).codec_info
    return found


def decode_as(data: bytes, encoding: str) -> Decoded:
    """Decode bytes in a named encoding; what it doesn't know is replaced and counted."""
    if encoding == "utf-8":  # Python's own handler is some 50 times faster than one in Python
        text = data.decode("utf-8", "replace")
        return Decoded(text, encoding, text.count("\ufffd") - data.count("\ufffd".encode()))
    _repairs.count = 0
    text, _ = _codec(encoding).decode(data, "headrace.replace")
    return Decoded(text, encoding, _repairs.count)


def _sample(data: bytes) -> bytes:
    """Return the beginning of a text, not cut inside a character."""
    if len(data) <= SAMPLE_BYTES:
        return data
    return data[: max(data.rfind(b"\n", 0, SAMPLE_BYTES) + 1, SAMPLE_BYTES - 4) & ~1]


class _Evidence:
    """What the bytes themselves say about their encoding."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.utf8 = decode_as(data, "utf-8")
        self.beyond = len(data) - len(data.translate(None, _BEYOND))
        """Number of non-ASCII bytes."""
        self.is_utf8 = self.utf8.repairs <= DAMAGED * self.beyond

    def believes(self, encoding: str) -> bool:
        """Whether the bytes can be in this encoding."""
        if encoding == "utf-8":
            return self._few(self.utf8.repairs)
        if encoding.startswith("utf-16"):  # a space, line end or bracket of markup has a zero byte
            return not (self.is_utf8 and b"\0" not in self.data)
        if self.is_utf8 and self._sequences() >= EVIDENCE:
            return False
        return self._few(decode_as(_sample(self.data), encoding).repairs)

    def _few(self, repairs: int) -> bool:
        return repairs < EVIDENCE or repairs <= CONTRADICTED * self.beyond

    def _sequences(self) -> int:
        return sum(self.data.count(lead) for lead in range(0xC2, 0xF5))


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark, by the zero bytes of its ASCII characters."""
    head = data[:PRESCAN_BYTES]
    for at, encoding in ((1, "utf-16le"), (0, "utf-16be")):
        if head[at::2].count(0) > 0.4 * len(head) / 2 and not head[1 - at :: 2].count(0):
            return encoding
    return None


def detect(data: bytes) -> str:
    """Return what the encoding of text seems to be that is neither UTF-8 nor UTF-16."""
    import chardetng_py

    detector = chardetng_py.EncodingDetector()
    detector.feed(_sample(data), last=True)
    return find(detector.guess(tld=None, allow_utf8=False)) or "windows-1252"


def decode(data: bytes, labels: Iterable[str] = (), markup: bool = False) -> Decoded:
    """Return the text of bytes.

    Args:
        data: the bytes.
        labels: what the transport says, best first; an unknown one counts as none.
        markup: whether to look for a declaration at the beginning, as in HTML.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return decode_as(data[len(mark) :], encoding)
    evidence = _Evidence(data)
    for encoding in _declared(data, labels, markup):
        if evidence.believes(encoding):
            return evidence.utf8 if encoding == "utf-8" else decode_as(data, encoding)
    if (wide := _wide(data)) is not None:
        return decode_as(data, wide)
    return evidence.utf8 if evidence.is_utf8 else decode_as(data, detect(data))


def _declared(data: bytes, labels: Iterable[str], markup: bool) -> Iterator[str]:
    for label in labels:
        if (encoding := find(label)) is not None:
            yield encoding
    if markup and (encoding := prescan(data[:PRESCAN_BYTES])) is not None:
        yield encoding


_XML = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]+)["']""", re.I)
_TAG = re.compile(rb"</?([a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(
    rb"""[\s/]*+([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?"""
)
_CONTENT = re.compile(rb"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""", re.I)
_OPAQUE = (b"script", b"style", b"title", b"textarea", b"xmp", b"iframe", b"noframes", b"noembed")


def prescan(head: bytes) -> str | None:
    """Return the encoding that the beginning of an HTML or XHTML page declares.

    Only a `meta` element and an XML declaration count: not visible text, nor what stands in a
    comment, a script or a title.
    """
    if (xml := _XML.match(head)) and (encoding := find(xml[1].decode("latin-1"))):
        return _in_markup(encoding)
    at = 0
    while (at := head.find(b"<", at)) >= 0:
        if head.startswith(b"<!--", at):
            end = head.find(b"-->", at + 2)
            at = len(head) if end < 0 else end + 3
            continue
        tag = _TAG.match(head, at)
        if tag is None:
            if head[at + 1 : at + 2] in (b"!", b"/", b"?"):
                end = head.find(b">", at)
                at = len(head) if end < 0 else end + 1
            else:
                at += 1
            continue
        given: dict[bytes, bytes] = {}
        at = tag.end()
        while attribute := _ATTRIBUTE.match(head, at):
            at = attribute.end()
            given.setdefault(
                attribute[1].lower(), attribute[2] or attribute[3] or attribute[4] or b""
            )
        name = tag[1].lower()
        if tag[0].startswith(b"</"):
            continue
        if name == b"meta" and (encoding := _of_meta(given)):
            return encoding
        if name in _OPAQUE:
            end = head.lower().find(b"</" + name, at)
            at = len(head) if end < 0 else end
    return None


def _of_meta(given: dict[bytes, bytes]) -> str | None:
    label = given.get(b"charset")
    if label is None and given.get(b"http-equiv", b"").strip().lower() == b"content-type":
        content = _CONTENT.search(given.get(b"content", b""))
        label = content and (content[1] or content[2] or content[3])
    encoding = find(label.decode("latin-1")) if label else None
    return encoding and _in_markup(encoding)


def _in_markup(encoding: str) -> str:
    """Return what a declaration means that could be read as ASCII before it was known."""
    if encoding.startswith("utf-16"):
        return "utf-8"
    return "windows-1252" if encoding == "x-user-defined" else encoding
