"""Every format and every kind of damage: each record is read or counted, none is lost."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from read_file import SMALL, read

from headrace.infra.errors import InputError
from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.inputs import InputFile
from headrace.spark_jobs.reading import reader
from headrace.spark_jobs.reading.records import Window
from headrace.spark_jobs.settings import InputSettings, Source


def lines(path: Path, *rows: bytes | dict[str, Any], end: bytes = b"\n") -> Path:
    raw = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in rows]
    path.write_bytes(end.join(raw) + end)
    return path


def test_jsonl_with_every_fault(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        b"\xef\xbb\xbf" + b'{"text": "first, after a mark"}',
        b"",
        {"text": "中文"},
        b'{"text": "cut',
        b"\xff\xfe\x00broken",
        {"text": None},
        {"id": "none"},
        b"[]",
        b"7",
        b"   \t",
        {"text": 5},
        {"text": "x" * 3000},
        b'{"text": "last"}',
        end=b"\r\n",
    )
    records, lost = read(path)
    assert [(r["position"], r["text"]) for r in records] == [
        (1, "first, after a mark"), (3, "中文"), (6, None), (7, None), (11, None), (13, "last"),
    ]  # fmt: skip
    assert {r["position"]: r["error"] for r in lost} == {
        4: "not valid JSON: it ends early at character 10",
        5: "not UTF-8",
        8: "a JSON array, not an object",
        9: "a JSON number, not an object",
        12: "record of 3013 bytes, more than input.max_record_bytes",
    }
    assert json.loads(records[4]["metadata"]) == {"given_text": 5}
    assert {r["source"] for r in records + lost} == {str(path)}


def test_fields_by_name_and_everything_else_in_metadata(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "text": "t",
        "source": "../../up",
        "lang": "<b>",
        "domain": {"a": 1},
        "created": "no date",
        "metadata": {"k": [1, None]},
        "other": {"n": "中"},
    }
    [record], _ = read(lines(tmp_path / "a.jsonl", row))
    assert record["id"] == "7" and record["source"] == str(tmp_path / "a.jsonl")
    assert record["created"] is None
    assert json.loads(record["metadata"]) == {
        "given_source": "../../up",
        "given_lang": "<b>",
        "given_domain": {"a": 1},
        "given_created": "no date",
        "k": [1, None],
        "other": {"n": "中"},
    }


def test_other_names(tmp_path: Path) -> None:
    row = {"content/~'": "t", "uid": "u", "text": "not this", "meta": '{"a": 1}'}
    settings = InputSettings(fields={"text": "content/~'", "id": "uid", "metadata": "meta"})
    [record], _ = read(lines(tmp_path / "a.jsonl", row), settings)
    assert (record["text"], record["id"]) == ("t", "u")
    assert json.loads(record["metadata"]) == {"a": 1, "text": "not this"}


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06 07:08:09"),
        ("2024-05-06T07:08:09+08:00", "2024-05-05 23:08:09"),
        ("2024-05-06", "2024-05-06 00:00:00"),
        ("2024/05/06", "2024-05-06 00:00:00"),
        ("2024年5月6日", "2024-05-06 00:00:00"),
        ("6 May 2024", "2024-05-06 00:00:00"),
        ("2024", "2024-01-01 00:00:00"),
        (2024, "2024-01-01 00:00:00"),
        (1714979289, "2024-05-06 07:08:09"),
        (1714979289000, "2024-05-06 07:08:09"),
        ("infinity", None),
        ("soon", None),
        (-5, None),
        (1e300, None),
    ],
)
def test_created(tmp_path: Path, given: object, want: str | None) -> None:
    [record], _ = read(lines(tmp_path / "a.jsonl", {"text": "t", "created": given}))
    if want is None:
        assert record["created"] is None
        assert json.loads(record["metadata"]) == {"given_created": given}
    else:
        assert f"{record['created']:%Y-%m-%d %H:%M:%S}" == want
        assert json.loads(record["metadata"]) == {}


def test_ids_and_hashes(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a"}, {"text": "a"}, {"text": "b", "id": "own"})
    one, two, three = read(path)[0]
    assert one["content_hash"] == two["content_hash"] != three["content_hash"]
    assert len(one["content_hash"]) == 32 and int(one["content_hash"], 16)
    assert len({one["id"], two["id"]}) == 2 and len(one["id"]) == 32 and three["id"] == "own"
    assert read(path)[0][0]["id"] == one["id"]


def test_deep_nesting_and_odd_strings(tmp_path: Path) -> None:
    deep = b'{"text": "t", "a": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001
    path = lines(
        tmp_path / "a.jsonl",
        deep,
        b'{"text": "nul \\u0000 here"}',
        b'{"text": "lone \\ud800"}',
        b'{"text": "raw \x00 nul"}',
    )
    records, lost = read(path, InputSettings())
    assert [r["text"] for r in records] == ["t", "nul \0 here", "lone \ufffd", "raw \0 nul"]
    assert [r["repairs"] for r in records] == [1, 0, 1, 1] and not lost


@given(
    st.lists(
        st.sampled_from([b'{"text": "ab"}', b"", b"nonsense", b'{"text": "' + b"c" * 90 + b'"}'])
    ),
    st.integers(1, 200),
)
def test_positions_do_not_depend_on_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], target: int
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "a.jsonl"
    path.write_bytes(b"\n".join(rows))
    records, lost = read(path, target=target)
    assert [r["position"] for r in records] == [
        n for n, r in enumerate(rows, 1) if r.startswith(b"{")
    ]
    assert [r["position"] for r in lost] == [n for n, r in enumerate(rows, 1) if r == b"nonsense"]


def letters(rng: np.random.Generator, n: int) -> bytes:
    return rng.integers(97, 123, n).astype(np.uint8).tobytes()


def packed(codec: str, data: bytes) -> bytes:
    if codec == "gz":
        return gzip.compress(data)
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_compressed_whole_truncated_and_damaged(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(1)
    rows = [json.dumps({"text": letters(rng, 300).decode()}) for _ in range(2000)]
    data = "\n".join(rows).encode()
    path = tmp_path / f"a.jsonl.{codec}"
    whole = packed(codec, data)
    path.write_bytes(whole + packed(codec, b"\n" + data))  # two members
    records, lost = read(path)
    assert len(records) == 4000 and not lost
    path.write_bytes(whole[: len(whole) // 2])
    records, lost = read(path)
    assert 0 < len(records) < 2000 and len(lost) == 1
    assert lost[0]["position"] == len(records) + 1 and "truncated" in lost[0]["error"]
    path.write_bytes(packed(codec, "\n".join(rows[:10]).encode() + b"\n") + b"\xff" * 400)
    records, [one] = read(path)
    assert len(records) == 10 and one["position"] == 11 and "damaged" in one["error"]


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


DISGUISES: dict[str, Callable[[list[str]], bytes]] = {
    "gzip.jsonl": lambda rows: gzip.compress("\n".join(rows).encode()),
    "zstd.jsonl": lambda rows: zst("\n".join(rows).encode()),
    "zstd.jsonl.gz": lambda rows: zst("\n".join(rows).encode()),
    "plain.jsonl.gz": lambda rows: "\n".join(rows).encode(),
    "no-ending": lambda rows: "\n".join(rows).encode(),
    "text.txt": lambda rows: "\n".join(rows).encode(),
    "array.json": lambda rows: f"[{','.join(rows)}]".encode(),
    "pretty.jsonl": lambda rows: json.dumps(
        [json.loads(r) for r in rows], indent=2, ensure_ascii=False
    ).encode(),
    "array.json.gz": lambda rows: gzip.compress(f" [{', '.join(rows)}]\n".encode()),
    "returns.jsonl": lambda rows: "\r".join(rows).encode(),
    "wide.jsonl": lambda rows: "\n".join(rows).encode("utf-16"),
    "wide-array.json": lambda rows: f"[{','.join(rows)}]".encode("utf-16-be"),
    "wide-returns.jsonl.zst": lambda rows: zst("\r".join(rows).encode("utf-16-le")),
    "wider.jsonl": lambda rows: "\n".join(rows).encode("utf-32"),
}


@pytest.mark.parametrize("name", DISGUISES)
@settings(max_examples=8)
@given(texts=st.lists(st.text(max_size=20), min_size=2, max_size=12), target=st.integers(1, 300))
def test_a_file_that_is_not_what_its_name_says_is_read_as_what_it_is(
    tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[str], target: int
) -> None:
    """The same records at the same positions as in JSON Lines, whatever pieces it is cut into."""
    rows = [json.dumps({"id": f"{k}", "text": t}, ensure_ascii=False) for k, t in enumerate(texts)]
    path = tmp_path_factory.mktemp("disguised") / name
    path.write_bytes(DISGUISES[name](rows))
    records, lost = read(path, target=target)
    assert not lost
    assert [(r["position"], r["id"], r["text"]) for r in records] == [
        (k, f"{k - 1}", t) for k, t in enumerate(texts, 1)
    ]


ROWS = [json.dumps({"text": f"Zeile {k} 文本", "n": k}, ensure_ascii=False) for k in range(40)]
CONTENTS = [make(ROWS) for make in DISGUISES.values()] + [
    b'id,text\n1,"a\nb"\n2,c\n' * 9,
    "文本".encode("gbk") * 90,
    b"<html><p>page</p>" * 9,
    b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 2\r\n\r\nab\r\n\r\n",
    b"\n".join(r.encode() for r in ROWS).replace(b"\n", b""),
]
NAMES = ["a.jsonl", "a.json", "a.txt", "a.csv", "a.tsv.gz", "a.parquet", "a.warc.gz", "a.html", "a"]


@settings(max_examples=300)
@given(
    data=st.sampled_from(CONTENTS),
    name=st.sampled_from(NAMES),
    cut=st.integers(0, 4000),
    at=st.integers(0, 2000),
    noise=st.binary(max_size=6),
)
def test_any_bytes_under_any_name_are_read_or_counted(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    name: str,
    cut: int,
    at: int,
    noise: bytes,
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes((data[:at] + noise + data[at + len(noise) :])[:cut])
    records, lost = read(path, target=100)
    positions = [r["position"] for r in records + lost]
    assert len(set(positions)) == len(positions) and all(p > 0 for p in positions)
    counted = tally(path)
    assert 0 <= counted.lost <= counted.bytes and (lost or not counted.lost)
    assert records or lost or not data[:cut].strip() or name.startswith("a.wa") or b"WARC" in data


def test_what_is_wrong_in_a_disguised_file_is_counted_where_it_is(tmp_path: Path) -> None:
    good = [json.dumps({"text": f"number {k}"}) for k in range(30)]
    (tmp_path / "a.json").write_text("[" + ",".join([*good[:3], "7", '"a"', *good[3:]]) + ",{")
    records, lost = read(tmp_path / "a.json")
    assert [r["position"] for r in records] == [1, 2, 3, *range(6, 33)]
    assert [(x["position"], x["error"].split(":")[0]) for x in lost] == [
        (4, "a JSON number, not an object"), (5, "a JSON string, not an object"),
        (33, "truncated JSON array"),
    ]  # fmt: skip
    wide = "\n".join(good).encode("utf-16-le")
    (tmp_path / "b.jsonl").write_bytes(wide[:-1])
    records, [one] = read(tmp_path / "b.jsonl")
    assert len(records) == 29 and one["position"] == 30 and "UTF-16-LE" in one["error"]
    half = (
        good[0].encode("utf-16-le") + b"\n\0" + '{"text": "half'.encode("utf-16-le") + b"\x3d\xd8"
    )
    (tmp_path / "c.jsonl").write_bytes(b"\xff\xfe" + half + '"}'.encode("utf-16-le"))
    records, lost = read(tmp_path / "c.jsonl")
    assert not lost and [(r["text"], r["repairs"]) for r in records] == [
        ("number 0", 0), ("half\ufffd", 1),
    ]  # fmt: skip


def test_a_json_array_of_any_length_is_read_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.json"
    with open(path, "w") as f:
        f.write("[")
        for k in range(200):
            f.write("," * bool(k) + json.dumps({"text": "x" * 1_000_000}, indent=1))
        f.write("]")
    read(path)  # what is compiled and imported counts only once
    tracemalloc.start()
    [file] = inventory_job.list_inputs([Source(uri=str(path))])
    file, [chunk] = inventory_job.survey(file, 0, 1 << 20)
    n = 0
    for window in reader.read(file, chunk, InputSettings()):
        n += window.records.num_rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 200 and peak < 100 << 20


@pytest.mark.parametrize(
    ("name", "data", "total", "lost"),
    [
        ("a.jsonl", b'{"text": "12345"}\n' * 9 + b"nonsense\n", 9 * 18 + 9, 8),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(992), 1000, 1000),
        ("a.jsonl.bz2", b"BZh91AY&SY" + bytes(990), 4000, 4000),
        ("a.txt", b"\xff" * 500, 500, 500),
    ],
)
def test_bytes_that_are_lost_are_counted(
    tmp_path: Path, name: str, data: bytes, total: int, lost: int
) -> None:
    (tmp_path / name).write_bytes(data)
    assert tally(tmp_path / name) == reader.Tally(total, lost)


def tally(path: Path, limits: InputSettings = SMALL) -> reader.Tally:
    [file] = inventory_job.list_inputs([Source(uri=str(path))])
    file, chunks = inventory_job.survey(file, 0, 1 << 20)
    counted = reader.Tally()
    for chunk in chunks:
        list(reader.read(file, chunk, limits, counted))
    return counted


@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_what_lies_behind_a_damage_is_counted_in_bytes(tmp_path: Path, codec: str) -> None:
    """The tail is one record, however long: only bytes say that half of the file is gone."""
    rng = np.random.default_rng(1)
    rows = [json.dumps({"text": letters(rng, 300).decode()}) for _ in range(2000)]
    data = "\n".join(rows).encode()
    half = packed(codec, data[: len(data) // 2])
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(half + b"\xff" * 9 + packed(codec, data[len(data) // 2 :]))
    found = tally(path)
    assert 0.9 < found.bytes / len(data) < 1.1 and 0.4 < found.lost / found.bytes < 0.6
    long = tally(path, InputSettings(max_record_bytes=100))
    assert long.lost > 0.9 * long.bytes


def test_records_without_a_length_count_as_much_as_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text number {k}" for k in range(50)]}), path)
    raw = bytearray(path.read_bytes())
    raw[4:120] = b"\xff" * 116
    path.write_bytes(raw)
    found = tally(path)
    assert found.bytes > 400 and found.lost > 0.9 * found.bytes


def test_a_bomb_is_one_lost_line_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as f:
        f.write(b'{"text": "')
        for _ in range(300):
            f.write(b"a" * 1_000_000)
        f.write(b'"}\n{"text": "after"}\n')
    tracemalloc.start()
    records, lost = read(path, InputSettings(max_record_bytes=1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [r["text"] for r in records] == ["after"] and records[0]["position"] == 2
    assert lost[0]["bytes"] == 300_000_012 and len(lost[0]["raw"]) == 4096
    assert peak < 30 << 20


def test_plain_text(tmp_path: Path) -> None:
    for name, raw, text, error in [
        ("a.txt", b"\xef\xbb\xbfone\ntwo\n", "one\ntwo\n", None),
        ("b.md", "中文".encode(), "中文", None),
        ("c.txt.gz", gzip.compress(b"packed"), "packed", None),
        ("d.txt", b"", "", None),
        ("e.txt", "中文".encode("gb18030"), None, "not UTF-8"),
        ("h.txt", ("星期日停航，旅客可以改乘下一班。" * 4).encode("gb18030"), None,
         "not UTF-8, GB18030 (GBK) by its bytes: convert it with iconv"),
        ("i.txt", "中文, in UTF-16".encode("utf-16"), "中文, in UTF-16", None),
        ("f.bin", b"\x00\x01\x02", None, "a binary file, not text"),
        ("g.txt", b"x" * 3000, None, "document is longer than input.max_record_bytes"),
        ("j.html", b"<title>T</title><p>A <b>page</b><p>of two", "A page\nof two", None),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(raw)
        records, lost = read(tmp_path / name)
        assert [r["text"] for r in records] == ([] if error else [text]), name
        assert [r["error"] for r in lost] == ([error] if error else []), name


def archive(records: list[tuple[str, str, bytes]], compress: bool) -> bytes:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=compress)
    for kind, content_type, payload in records:
        http = None
        if kind == "response":
            http = StatusAndHeaders("200 OK", [("Content-Type", content_type)], protocol="HTTP/1.0")
        writer.write_record(
            writer.create_warc_record(
                f"http://example.org/{len(payload)}",
                kind,
                payload=io.BytesIO(payload),
                http_headers=http,
                warc_content_type="" if http else content_type,
                warc_headers_dict={"WARC-Date": "2024-05-06T07:08:09Z"},
            )
        )
    return out.getvalue()


def test_web_archives(tmp_path: Path) -> None:
    page = "<head><title>T</title></head><p>One&amp;<b>two</b></p><script>no()</script><p>三</p>"
    items = [
        ("conversion", "text/plain", "文本".encode()),
        ("response", "text/html; charset=gb2312", page.encode("gb2312")),
        ("response", "image/png", b"\x89PNG"),
        ("conversion", "text/plain", b"\xff"),
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(archive(items, True))
    records, lost = read(path)
    assert [(r["position"], r["text"], r["repairs"]) for r in records] == [
        (1, "文本", 0),
        (2, "One&two\n三", 0),
        (4, "ÿ", 0),
    ]
    assert lost == []
    assert json.loads(records[1]["metadata"]) | {"record_id": ""} == {
        "given_source": f"http://example.org/{len(items[1][2])}",
        "record_id": "",
        "encoding": "gbk",
        "title": "T",
    }
    assert json.loads(records[0]["metadata"])["given_source"] == "http://example.org/6"
    assert records[0]["created"].year == 2024
    (tmp_path / "b.wet").write_bytes(archive(items[:1], False))
    assert len(read(tmp_path / "b.wet")[0]) == 1


def test_a_truncated_archive_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = [letters(rng, 1500) for _ in range(40)]
    raw = archive([("conversion", "text/plain", t) for t in texts], True)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(raw[: len(raw) - 700])
    records, lost = read(path)
    assert len(records) == 39 and len(lost) == 1


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a"})
    [file] = inventory_job.list_inputs([Source(uri=str(path))])
    file, [chunk] = inventory_job.survey(file, 0, 100)
    lines(path, {"text": "other"})
    with pytest.raises(InputError, match="changed"):
        list(reader.read(file, chunk, SMALL))


def test_a_file_that_wants_too_much_memory_keeps_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(*args: object) -> Iterator[Window]:
        yield from reader._lines(*args)  # type: ignore[arg-type]
        raise MemoryError

    path = lines(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"}, b"[]")
    [file] = inventory_job.list_inputs([Source(uri=str(path))])
    file, [chunk] = inventory_job.survey(file, 0, 100)
    lines_of = reader._lines
    calls = iter([some])
    monkeypatch.setitem(reader._STREAMED, "lines", lambda *a: next(calls, lines_of)(*a))
    first, last = reader.read(file, chunk, SMALL)
    assert first.records.num_rows == 2 and first.lost.num_rows == 1
    [row] = last.lost.to_pylist()
    assert row["position"] == 4 and row["error"].startswith("needs more memory than a worker")


def test_a_file_that_cannot_be_opened_is_one_lost_record(tmp_path: Path) -> None:
    file = InputFile(str(tmp_path / "gone"), "gone", "lines", "", 5, "", 0)
    file, [chunk] = inventory_job.survey(file, 0, 100)
    [window] = reader.read(file, chunk, SMALL)
    assert window.records.num_rows == 0 and window.lost.num_rows == 1
