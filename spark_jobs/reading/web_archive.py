"""The documents of a WARC or WET file: extracted text as it stands, the main text of HTML pages.

Every page comes to one outcome, whatever it holds: its text, or why it can't be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from headrace.spark_jobs.reading import http_message, main_text, text_encoding
from headrace.spark_jobs.reading.http_message import Message
from headrace.spark_jobs.reading.warc_records import HEAD_BYTES, Record, records

_PAGES = ("response", "resource", "conversion")
"""Types of records that hold documents; requests, metadata and repeated visits don't."""
_HTML = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
_UNSAID = ("", "unknown/unknown", "application/unknown", "*/*")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_PARAMETER = re.compile(r""";\s*([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|'([^']*)'?|([^;,]*))""")
_MARKUP = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!--|(?:!doctype html|html|head|script|iframe|h1|div|font|table|a"
    rb"|style|title|b|body|br|p|meta)[\s>])",
    re.I,
)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_FIELD = 2048
"""Characters of an address or a title that are kept."""


@dataclass(frozen=True)
class Document:
    """A document, or where and why one can't be read."""

    position: int
    """1-based number of the record in the file."""
    text: bytes
    """In UTF-8; of one that can't be read its raw beginning."""
    size: int
    fields: dict[str, str] = field(default_factory=dict)
    repairs: int = 0
    """Number of places that were read otherwise than they stand: bytes that are none of the
    encoding, packed content that ends too early, a record of wrong length, a page that was cut."""
    error: str = ""


def media_type(value: str) -> tuple[str, list[str]]:
    """(type and subtype in lower case, charset labels) of a Content-Type header.

    Of several types the last one counts that is one at all, as in browsers
    (https://fetch.spec.whatwg.org, "extract a MIME type"). Empty where there is none.
    """
    kind = ""
    labels: list[str] = []
    for given in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', value[:1000]):
        name = given.partition(";")[0].strip().lower()
        if not _MEDIA_TYPE.fullmatch(name) or name == "*/*":
            if kind or ";" not in given:
                continue
            name = ""
        found = [
            re.sub(r"\\(.)", r"\1", p[2] or "") or p[3] or (p[4] or "").strip().strip("'\"")
            for p in _PARAMETER.finditer(given)
            if p[1].lower() == "charset"
        ]
        kind, labels = name, found or (labels if name == kind else [])
    return kind, labels


def _sniffed(payload: bytes) -> str:
    """Return the type of a page that says none, from its beginning; empty where it's no text."""
    if _MARKUP.match(payload[:1024]):
        return "text/html"
    wide = payload.startswith((b"\xff\xfe", b"\xfe\xff"))
    return "text/plain" if wide or http_message.is_text(payload) else ""


def _message(record: Record, limit: int) -> Message:
    """Return the payload of a record, with the headers that are about it."""
    stated = record.headers.get("content-type", "")
    if record.headers["warc-type"].lower() != "response" or not (
        "http" in stated.lower() or record.content.startswith(b"HTTP/")
    ):
        return Message({"content-type": [stated]}, record.content)
    return http_message.parse(record.content, limit)


def _document(record: Record, limit: int) -> Document | None:
    """Return the document of a record, None where it holds none."""
    if record.headers.get("warc-type", "").lower() not in _PAGES:
        return None
    message = _message(record, limit)
    kind, labels = media_type(message.get("content-type"))
    if kind in _UNSAID:
        kind = _sniffed(message.payload)
    if kind not in (*_HTML, "text/plain"):
        return None
    if error := record.error or message.error:
        raw = message.payload[:HEAD_BYTES]
        return Document(record.position, raw, max(record.size, len(raw)), error=error)
    uri = record.headers.get("warc-target-uri", "")
    fields = {
        "source": uri.removeprefix("<").removesuffix(">"),
        "created": record.headers.get("warc-date", ""),
        "record_id": record.headers.get("warc-record-id", ""),
    }
    page = read_page(message.payload, labels, kind in _HTML)
    repairs = page.repairs + message.repairs + record.repaired
    return replace(
        page, position=record.position, fields=_lines(fields) | page.fields, repairs=repairs
    )


def read_page(payload: bytes, labels: Iterable[str] = (), markup: bool = True) -> Document:
    """Read the document that a page is, by itself: decoded, and of markup the main text.

    Args:
        payload: its bytes.
        labels: of its encoding, by the transport, best first.
        markup: whether it is HTML.
    """
    decoded = text_encoding.decode(payload, labels, markup)
    text, repairs, title = decoded.text, decoded.repairs, ""
    if markup:
        page = main_text.extract(text)
        text, repairs, title = page.text, repairs + page.cut, page.title
    raw = text.encode("utf-8", "replace")
    encoding = "" if decoded.encoding == "utf-8" else decoded.encoding
    return Document(1, raw, len(raw), _lines({"encoding": encoding, "title": title}), repairs)


def fault(error: Exception) -> str:
    """Return what is said of a page that a library failed on."""
    return f"can't be read: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _lines(values: Mapping[str, str]) -> dict[str, str]:
    """Values as lines of bounded length, without those that hold nothing."""
    lines = {k: " ".join(_CONTROL.sub(" ", v[:MAX_FIELD]).split()) for k, v in values.items()}
    return {k: v for k, v in lines.items() if v}


def documents(file: BinaryIO, limit: int) -> Iterator[Document]:
    """Yield the text documents of a WARC or WET file; other records (requests, images) are none.

    Args:
        file: a binary file, packed or not.
        limit: largest page, packed and unpacked (bytes).
    """
    for record in records(file, limit):
        if record.error and not record.headers:
            yield Document(record.position, record.content, record.size, error=record.error)
            continue
        try:
            document = _document(record, limit)
        except ImportError:
            raise  # the installation is incomplete; no page is at fault
        except Exception as error:  # whatever a page does to a library, the next one is read
            head = record.content[:HEAD_BYTES]
            document = Document(record.position, head, record.size, error=fault(error))
        if document is not None:
            yield document
