"""Pages of an archive: each comes to one outcome, whatever it holds, says or is packed in."""

import gzip
import io
import json
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading.web_archive import Document, documents, media_type

Pack = Callable[[bytes], bytes]

LIMIT = 100_000
ZH = "河水在老磨坊以南拐了个弯，公路沿着河岸走三里才到桥头。秋天农民把粮食运到那里。"
EN = "The river bends south of the old mill, and the road follows it for three miles to the bridge."


def record(
    content: bytes,
    kind: str = "response",
    stated: str | None = "application/http; msgtype=response",
    uri: str = "http://example.org/a",
    length: int | None = None,
) -> bytes:
    head = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>",
        "WARC-Date: 2024-05-06T07:08:09Z",
        f"WARC-Target-URI: {uri}",
        f"Content-Length: {len(content) if length is None else length}",
    ]
    head += [] if stated is None else [f"Content-Type: {stated}"]
    return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + content + b"\r\n\r\n"


def page(payload: bytes, *headers: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return record("\r\n".join([status, *headers, "", ""]).encode("latin-1") + payload)


def read(raw: bytes, limit: int = LIMIT) -> list[Document]:
    return list(documents(io.BytesIO(raw), limit))


def texts(raw: bytes) -> list[str]:
    return [d.error or d.text.decode() for d in read(raw)]


HTML = "Content-Type: text/html"


UNUSABLE = [
    "undefined", "idna", "punycode", "unknown-8bit", "hz-gb-2312", "", "*", "utf-8 utf-8",
    "rot13", "base64", "zlib", "raw_unicode_escape", "\xff",
]  # fmt: skip


@pytest.mark.parametrize("label", UNUSABLE)
def test_an_unusable_label_counts_as_none(label: str) -> None:
    for text, encoding in ((EN, "utf-8"), (ZH, "utf-8"), (ZH, "gb18030")):
        raw = page(f"<p>{text}</p>".encode(encoding), f"{HTML}; charset={label}")
        assert texts(raw + page(EN.encode(), "Content-Type: text/plain")) == [text, EN]


TYPES = [
    "TEXT/HTML", "Text/Html; Charset=UTF-8", "text/html;charset='utf-8'",
    ' text/html ; charset="utf-8" ', "text/html; a=b; charset = utf-8", "application/XHTML+xml",
    "text/html,text/html", "text/html;", "text/html; charset=bad; charset=utf-8",
    "text/plain, text/html", "text/html; charset=utf-8; charset=gbk", "", "unknown/unknown",
    "*/*", "html", "text", "; charset=utf-8", "application/unknown", None,
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_media_types_have_no_case_and_may_be_missing(kind: str | None) -> None:
    headers = [] if kind is None else [f"conTENT-type: {kind}"]
    assert texts(page(f"<!DOCTYPE html><p>{ZH}</p>".encode(), *headers)) == [ZH]


@pytest.mark.parametrize(
    ("kind", "payload", "documents"),
    [
        ("TEXT/PLAIN", EN.encode(), 1),
        ("image/png", b"\x89PNG\0", 0),
        ("application/pdf", b"%PDF", 0),
        ("application/json", b"{}", 0),
        ("text/css", b"p {}", 0),
        ("", b"\x89PNG\0\0", 0),
        ("", EN.encode(), 1),
        ("", b"\xff\xfe" + EN.encode("utf-16-le"), 1),
        ("text/html", b"", 1),
        ("text/html", b"\0" * 100, 1),
    ],
)
def test_what_is_a_document(kind: str, payload: bytes, documents: int) -> None:
    assert len(read(page(payload, f"Content-Type: {kind}"))) == documents


@pytest.mark.parametrize(
    ("header", "kind", "labels"),
    [
        ("text/html; charset=GBK", "text/html", ["GBK"]),
        ('text/html;charset="gb\\2312";charset=x', "text/html", ["gb2312", "x"]),
        ("text/html; charset=gbk, text/html", "text/html", ["gbk"]),
        ("text/html; charset=gbk, text/plain", "text/plain", []),
        ("text/html; charset=utf-8, nonsense", "text/html", ["utf-8"]),
        ('text/html; title="a,b; charset=x"; charset=y', "text/html", ["y"]),
        ("nonsense; charset=gbk", "", ["gbk"]),
        ("", "", []),
    ],
)
def test_media_type(header: str, kind: str, labels: list[str]) -> None:
    assert media_type(header) == (kind, labels)


@pytest.mark.parametrize(
    ("kind", "stated", "documents"),
    [
        ("conversion", "text/plain", 1),
        ("resource", "text/html", 1),
        ("RESPONSE", "application/http", 1),
        ("response", None, 1),
        ("request", "application/http; msgtype=request", 0),
        ("revisit", "application/http; msgtype=response", 0),
        ("metadata", "application/warc-fields", 0),
        ("warcinfo", "application/warc-fields", 0),
        ("continuation", "text/html", 0),
        ("response", "text/dns", 0),
    ],
)
def test_types_of_records(kind: str, stated: str | None, documents: int) -> None:
    content = b"HTTP/1.1 200 OK\r\n\r\n" * (stated == "application/http") + EN.encode()
    raw = record(content, kind, stated) + page(ZH.encode(), "Content-Type: text/plain")
    assert texts(raw) == [EN] * documents + [ZH]


ADDRESSES = [
    "http://a..b/", "http://xn--zz/", "http://ü.example/ü", "", "<http://a.example/>",
    "javascript:", "http://[::1", "http://a.example/" + "x" * 9000, "http://\udcff\udcfe/",
    "http://a/\x00\x1b[0m",
]  # fmt: skip


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_is_only_kept(uri: str) -> None:
    [document] = read(record(EN.encode(), "conversion", "text/plain", uri=uri))
    assert document.text.decode() == EN and len(document.fields.get("source", "")) <= 2048
    assert json.dumps(document.fields).isascii() and "\\u00" not in json.dumps(document.fields)[:20]


def test_what_is_kept_of_a_page() -> None:
    raw = page(
        f"<title>T\x1b &amp; U</title><p>{ZH}</p>".encode("gb18030"), f"{HTML}; charset=gb2312"
    )
    [document] = read(raw)
    assert document.fields == {
        "source": "http://example.org/a",
        "created": "2024-05-06T07:08:09Z",
        "record_id": "<urn:uuid:00000000-0000-0000-0000-000000000001>",
        "encoding": "gbk",
        "title": "T & U",
    }
    assert document.text.decode() == ZH and document.repairs == 0
    assert document.size == len(ZH.encode())


def test_repairs_are_counted() -> None:
    zh = ZH.encode()
    damaged = zh[:30] + b"\xff" + zh[30:60] + b"\xff" + zh[60:]
    assert [d.repairs for d in read(page(damaged, "Content-Type: text/plain"))] == [2]
    cut = gzip.compress(EN.encode())[:-8]
    [document] = read(page(cut, "Content-Type: text/plain", "Content-Encoding: gzip"))
    assert document.repairs == 1 and document.text.decode() == EN
    wrong = record(EN.encode(), "conversion", "text/plain", length=9) + page(b"x", HTML)
    assert [(d.text.decode(), d.repairs) for d in read(wrong)] == [(EN, 1), ("x", 0)]
    assert [d.repairs for d in read(record(EN.encode(), "response"))] == [1]  # no HTTP headers


def test_a_page_over_the_limit_is_unreadable_and_a_film_is_no_document() -> None:
    long = b"x" * (LIMIT + 1)
    raw = (
        page(long, HTML)
        + page(long, "Content-Type: video/mp4")
        + page(gzip.compress(bytes(LIMIT * 9)), HTML, "Content-Encoding: gzip")
        + page(EN.encode(), HTML)
    )
    first, packed, last = read(raw)
    assert "max_record_bytes" in first.error and first.size > LIMIT
    assert "max_record_bytes" in packed.error and last.text.decode() == EN
    assert [d.position for d in (first, packed, last)] == [1, 3, 4]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("whole", [True, False])
def test_archives_in_one_part_or_one_per_record(pack: Pack, whole: bool) -> None:
    pages = [page(f"<p>{EN} {k}</p>".encode(), HTML) for k in range(3)]
    raw = pack(b"".join(pages)) if whole else b"".join(map(pack, pages))
    assert texts(raw) == [f"{EN} {k}" for k in range(3)]


def test_a_fault_of_a_library_costs_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.spark_jobs.reading import main_text

    extract = main_text.extract

    def faulty(text: str) -> main_text.Extract:
        if "bad" in text:
            raise MemoryError("two\nlines")
        return extract(text)

    monkeypatch.setattr(main_text, "extract", faulty)
    raw = b"".join(page(text, HTML) for text in (b"good", b"bad", b"fine"))
    assert texts(raw) == ["good", "can't be read: MemoryError: two", "fine"]


def test_an_incomplete_installation_is_no_fault_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.spark_jobs.reading import main_text

    def missing(text: str) -> main_text.Extract:
        raise ModuleNotFoundError("No module named 'webencodings'")

    monkeypatch.setattr(main_text, "extract", missing)
    with pytest.raises(ModuleNotFoundError, match="webencodings"):
        texts(page(b"good", HTML))


WELL_FORMED = [
    "Content-Type: text/html", "Content-Type: text/html; charset=gb2312",
    "content-type:TEXT/PLAIN", "Content-Type: text/html; charset=undefined",
    "Content-Type: text/html; charset=idna", "Content-Type: text/html; charset=utf-16",
    'Content-Type: text/html; charset=\xff\xfe;;="', "Content-Encoding: gzip",
    "Content-Encoding: br", "Content-Encoding: deflate, zstd", "Content-Encoding: compress",
    "Transfer-Encoding: chunked", "Content-Length: -1", "X: " + "y" * 9999,
    "Content-Length: 99999999999999999999", "Transfer-Encoding: gzip, chunked", "Host: a..b",
]  # fmt: skip
HOSTILE = [
    b"<![foo[", b"<![ 6", b"<!-- ", b"<meta charset=undefined>", b"<meta charset=punycode>",
    b"&#xd800;", b"&#99999999999;", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"<pre>",
    b"<table><tr><td>", b"<div>" * 300, b"<svg><![CDATA[", b"WARC/1.0\r\n", b"\r\n\r\n",
    b"<?xml version='1.0' encoding='idna'?>", b"HTTP/1.1 200 OK\r\n\r\n", b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd", b"5\r\nhello\r\n0\r\n\r\n", b"<p a=" + b"b " * 300 + b">",
    b"<frameset>", b"<plaintext>", b"</body></html>", b"<a href=x>", b"<nav>", ZH.encode(),
    ZH.encode("gb18030"), EN.encode(), "\U0010ffff\u2028\x85".encode(),
]  # fmt: skip
PAYLOAD = st.lists(st.sampled_from(HOSTILE) | st.binary(max_size=30), max_size=6).map(b"".join)
HEADERS = st.lists(st.sampled_from(WELL_FORMED), max_size=4)
PACK = st.sampled_from([bytes, gzip.compress, zstandard.compress])
GOOD = page(f"<p>{EN}</p>".encode(), HTML)


@given(st.lists(st.tuples(PAYLOAD, HEADERS), max_size=5), PACK, st.booleans())
def test_n_pages_in_n_outcomes_out(
    pages: list[tuple[bytes, list[str]]], pack: Pack, whole: bool
) -> None:
    """Between two good pages anything may stand."""
    hostile = [page(payload, *headers, HTML) for payload, headers in pages]
    members = [GOOD, *hostile, GOOD]
    raw = pack(b"".join(members)) if whole else b"".join(map(pack, members))
    found = read(raw)
    assert [d.position for d in found] == list(range(1, len(pages) + 3))
    assert found[0].text.decode() == found[-1].text.decode() == EN
    for document in found:
        assert document.error or document.text.decode("utf-8") is not None
        assert document.repairs >= 0 and document.size >= 0
    assert found == read(raw)


LABELS = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20)


@given(st.lists(st.tuples(PAYLOAD, LABELS), max_size=5), PACK)
def test_n_labels_in_n_outcomes_out(pages: list[tuple[bytes, str]], pack: Pack) -> None:
    members = [page(payload, f'{HTML}; charset="{label}"') for payload, label in pages]
    found = read(b"".join(map(pack, [GOOD, *members, GOOD])))
    assert len(found) == len(pages) + 2 and found[-1].text.decode() == EN


LINE = st.binary(max_size=30).filter(lambda line: b"\n" not in line)


@given(st.lists(st.tuples(PAYLOAD, st.lists(LINE, max_size=4)), max_size=5), PACK)
def test_odd_headers_cost_no_page_after_them(
    pages: list[tuple[bytes, list[bytes]]], pack: Pack
) -> None:
    """A page whose headers are broken may be no text to see, but is never more than itself."""
    members = [record(b"\r\n".join([*lines, b"", payload])) for payload, lines in pages]
    found = read(b"".join(map(pack, [GOOD, *members, GOOD])))
    assert found[0].text.decode() == found[-1].text.decode() == EN
    assert found[-1].position == len(pages) + 2
    assert len({d.position for d in found}) == len(found)
