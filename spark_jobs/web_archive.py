"""Documents of a WARC or WET file: extracted text as it stands, the visible text of HTML pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_SILENT = {"script", "style", "noscript", "template", "svg"}
_BREAK = {
    "p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
    "header", "footer", "table", "ul", "ol", "blockquote", "pre", "hr", "title",
}  # fmt: skip
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.I)


@dataclass(frozen=True)
class Document:
    """A document, or where and why one can't be read."""

    position: int
    """1-based number of the record in the file."""
    text: bytes
    size: int
    fields: dict[str, str] = field(default_factory=dict)
    error: str = ""


class _Visible(HTMLParser):
    """Collects the text that a browser shows; markup errors are forgiven."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _SILENT:
            self._silent += 1
        if tag in _BREAK:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        if tag in _BREAK:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def visible_text(html: str) -> str:
    """The visible text of an HTML page, a line a block."""
    parser = _Visible()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _decode(raw: bytes, content_type: str) -> str:
    """The payload as text; HTML may name its encoding in itself.

    Raises:
        UnicodeDecodeError, LookupError: it is not in the encoding that it names.
    """
    named = _CHARSET.search(content_type) or _CHARSET.search(raw[:2048].decode("latin-1"))
    return raw.decode(named[1] if named else "utf-8")


def _document(record: Any, position: int, limit: int) -> Document | None:
    headers = record.rec_headers
    fields = {
        "source": headers.get_header("WARC-Target-URI") or "",
        "created": headers.get_header("WARC-Date") or "",
    }
    kind = headers.get_header("Content-Type") or ""
    if record.rec_type == "response" and record.http_headers is not None:
        kind = record.http_headers.get_header("Content-Type") or ""
    plain, html = kind.startswith("text/plain"), "html" in kind
    if record.rec_type not in ("conversion", "response", "resource") or not (plain or html):
        return None
    raw = record.content_stream().read(limit + 1)
    if len(raw) > limit:
        return Document(position, raw[:4096], len(raw), error="record is longer than allowed")
    if getattr(record.raw_stream, "limit", 0) > 0:
        return Document(position, raw[:4096], len(raw), error="truncated archive")
    try:
        text = _decode(raw, kind)
    except (UnicodeDecodeError, LookupError) as error:
        return Document(position, raw[:4096], len(raw), error=f"wrong encoding: {error}")
    shown = (visible_text(text) if html else text).encode("utf-8", "replace")
    return Document(position, shown, len(shown), {k: v for k, v in fields.items() if v})


def documents(stream: Any, limit: int) -> Iterator[Document]:
    """The text documents of a WARC or WET file; other records (requests, images) are none."""
    from warcio.archiveiterator import ArchiveIterator

    position = 0
    try:
        for record in ArchiveIterator(stream):
            position += 1
            document = _document(record, position, limit)
            if document is not None:
                yield document
    except Exception as error:  # warcio raises what its layers raise: zlib, struct, its own
        said = (str(error).splitlines() or [""])[0]
        message = f"damaged archive: {type(error).__name__}: {said}"
        yield Document(position + 1, b"", 0, error=message)
