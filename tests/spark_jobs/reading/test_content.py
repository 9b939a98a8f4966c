"""One verdict per file: what it is, whatever its name says."""

import bz2
import codecs
import gzip
import json
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading.content import HEAD, Content, encoding_of, examine, named

ROWS: list[dict[str, Any]] = [
    {"id": k, "text": f"第{k}班渡船星期日停航，旅客可以改乘星期一的班次，票价不变。"}
    for k in range(40)
]
LINES = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in ROWS)
UTF8 = LINES.encode()
TRADITIONAL = "".join(
    json.dumps({"text": "渡船星期日停航，旅客可以改乘星期一的班次，票價不變。"}, ensure_ascii=False)
    + "\n"
    for _ in range(9)
)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def gz(data: bytes) -> bytes:
    """Pack without the time: bytes are part of a test's name, which all processes must agree on."""
    return gzip.compress(data, mtime=0)


def verdict(name: str, data: bytes) -> Content:
    return examine(name, data[:HEAD], len(data) <= HEAD)


READ = [
    ("a.jsonl", UTF8, Content("lines")),
    ("a.jsonl.gz", gz(UTF8), Content("lines", "gzip")),
    ("a.jsonl", gz(UTF8), Content("lines", "gzip", note="compressed with gzip")),
    ("a.jsonl", zst(UTF8), Content("lines", "zstd", note="compressed with zstd")),
    ("a.jsonl.gz", zst(UTF8), Content("lines", "zstd", note="compressed with zstd")),
    ("a.jsonl.gz", UTF8, Content("lines", note="not compressed")),
    ("a.json", json.dumps(ROWS).encode(), Content("array", note="a JSON array, read element by "
                                                  "element")),
    ("a.jsonl", json.dumps(ROWS, indent=2).encode(), Content("array", note="a JSON array, read "
                                                             "element by element")),
    ("a.jsonl", b"[\n" + UTF8.strip().replace(b"\n", b",\n") + b"\n]\n",
     Content("array", note="a JSON array, read element by element")),
    ("a.json", b"[1, 2]", Content("array", note="a JSON array, read element by element")),
    ("a.jsonl", UTF8.replace(b"\n", b"\r"),
     Content("lines", ending="\r", note="lines that end with a carriage return alone")),
    ("a.txt", UTF8, Content("lines", note="JSON Lines")),
    ("part-00000", UTF8, Content("lines", note="JSON Lines")),
    ("a.parquet", UTF8, Content("lines", note="JSON Lines")),
    ("a.jsonl", b"PAR1 and so on", Content("parquet", note="Parquet")),
    ("a.txt", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", Content("warc", note="a web archive")),
    ("a.warc.zst", zst(b"WARC/1.0\r\n"), Content("warc", "zstd")),
    ("a.txt", b"\n<!-- x -->\n<!DOCTYPE html><p>x</p>", Content("html", note="an HTML page")),
    ("a.html", b"<div>x</div>", Content("html", note="an HTML page")),
    ("a.csv", b"id,text\n1,x\n", Content("table", note="a table, read row by row")),
    ("a.txt", b"Plain words.\n", Content("text")),
    ("a.md", b"[link](x) {y}\n# z", Content("text")),
    ("a.py", b"{not json}", Content("text")),
    ("a.jsonl", b"", Content("lines")),
    ("a.json", b'{"text": "x"}', Content("lines")),
    # JSON Lines with damage stay what they are: each line is judged by itself.
    ("a.jsonl", b'{"text": "cut\n{"text": "x"}\n', Content("lines")),
    ("a.jsonl", b'[1]\n{"text": "x"}\n', Content("lines")),
    ("a.jsonl", b'[cut\n{"text": "x"}\n', Content("lines")),
    ("a.jsonl", b"\xff\xfe\0broken\n" + UTF8, Content("lines")),
    ("a.jsonl", b'{"text": "' + b"x" * 70_000, Content("lines")),
    ("a.jsonl", b"word\nword\n", Content("lines", note="its first lines are not JSON")),
    ("a.jsonl", b"[1]\n[2]\n", Content("lines", note="its first lines are not JSON")),
    ("a.jsonl", LINES.encode("gbk"),
     Content("lines", note="not UTF-8, GB18030 (GBK) by its bytes: convert it with iconv")),
    ("a.jsonl", TRADITIONAL.encode("big5"),
     Content("lines", note="not UTF-8, Big5 by its bytes: convert it with iconv")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "want"), READ)
def test_what_can_be_read(name: str, data: bytes, want: Content) -> None:
    assert verdict(name, data) == want


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
def test_wide_encodings_are_found_with_and_without_a_mark(
    encoding: str, mark: bool, name: str
) -> None:
    found = verdict(name, ("\ufeff" * mark + LINES).encode(encoding))
    assert (found.kind, found.encoding, found.error) == ("lines", encoding, "")
    assert found.note.endswith(f"in {encoding.upper()}")


def test_a_file_of_an_array_that_is_longer_than_what_is_seen() -> None:
    for indent in (None, 1):
        data = json.dumps(ROWS * 100, indent=indent).encode()
        assert verdict("a.json", data).kind == "array"
        assert verdict("a.txt", data).kind == "array"


UNREADABLE = [
    ("a.jsonl.bz2", bz2.compress(UTF8), "a bzip2-compressed file: unpack it"),
    ("a.jsonl", gz(gz(UTF8)), "gzip inside gzip: unpack it once"),
    ("a.jsonl.gz", gz(b"PAR1"), "Parquet inside gzip"),
    (
        "a.tar.gz",
        gz(bytes(257) + b"ustar" + bytes(200)),
        "a tar archive: unpack it (ins",
    ),
    ("a.json", json.dumps(ROWS[0], indent=1).encode(), "JSON objects over several lines"),
    ("a.jsonl", "\n".join(json.dumps(r, indent=1) for r in ROWS).encode(), "over several lines"),
    (
        "a.json",
        json.dumps(dict.fromkeys(map(str, range(9999)), 1), indent=1).encode(),
        "over sever",
    ),
    ("a.jsonl", UTF8.replace(b"\n", b""), "JSON objects without line ends between them"),
    ("a.txt", UTF8.replace(b"\n", b""), "JSON objects without line ends between them"),
    ("a.jsonl", b"<html><title>404</title>", "an HTML page, not JSON Lines"),
    ("a.xml", b"<?xml version='1.0'?><a/>", "XML"),
    ("a.parquet", b"words", "plain text, not Parquet"),
    ("a.warc", b"words", "plain text, not a web archive"),
    ("a.jsonl", bytes(range(256)) * 9, "binary data, not JSON Lines"),
    ("a.csv", bytes(range(256)) * 9, "binary data, not a table"),
]


@pytest.mark.parametrize(("name", "data", "want"), UNREADABLE)
def test_what_cannot_be_read_is_called_what_it_is(name: str, data: bytes, want: str) -> None:
    assert want in verdict(name, data).error


def test_a_compressed_file_that_cannot_be_read_counts_as_compressed() -> None:
    assert verdict("a.bz2", bz2.compress(UTF8)).codec
    assert not verdict("a.png", b"\x89PNG\r\n\x1a\n").codec


@given(
    st.binary(max_size=400), st.sampled_from(["a.jsonl", "a.txt", "a.json.gz", "a.csv", "a.warc"])
)
def test_any_bytes_have_a_verdict(data: bytes, name: str) -> None:
    found = examine(name, data, True)
    assert found.kind and (found.encoding == "" or codecs.lookup(found.encoding))


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), min_size=1))
def test_json_lines_are_never_taken_for_anything_else(rows: list[dict[str, str]]) -> None:
    data = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode(
        "utf-8", "replace"
    )
    assert verdict("a.jsonl", data) == Content("lines")


def test_names() -> None:
    assert named("A.JSONL.GZ") == ("lines", "gzip") and named("x.wet.zst") == ("warc", "zstd")
    assert named("noending") == ("text", "") and named("a.tsv") == ("table", "")


def test_too_little_is_no_ground_for_a_guess() -> None:
    assert encoding_of("中文".encode("gbk")) == ""
    assert "GB18030" in encoding_of(ROWS[0]["text"].encode("gbk") * 2)
