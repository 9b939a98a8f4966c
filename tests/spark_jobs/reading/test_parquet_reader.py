"""Parquet of any columns is read, and no file is larger in memory than it may be."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_file import read
from strict_json import strict

from headrace.spark_jobs import moments
from headrace.spark_jobs.kernels.lines import WINDOW_BYTES
from headrace.spark_jobs.reading import parquet_reader
from headrace.spark_jobs.settings import FIELDS, InputSettings


def metadata(record: dict[str, Any]) -> Any:
    """The metadata of a record, which must be strict JSON."""
    strict(record["metadata"])
    return json.loads(record["metadata"])


Columns = list[tuple[str, "pa.Array[Any]"]]


def table_of(columns: Columns) -> pa.Table:
    return pa.Table.from_arrays([c for _, c in columns], names=[n for n, _ in columns])


def test_fields_and_other_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "c" * 3000, "d"], pa.large_string()),
            "id": ["1", "2", "3", "4"],
            "created": pa.array([0, 1, 2, 3], pa.timestamp("s")),
            "metadata": ['{"m": 1}', None, None, "plain"],
            "n": pa.array([1.5, 2, 3, 4]),
            "tags": [["x"], [], None, ["y"]],
            "map": pa.array([[("k", 1)]] * 4, pa.map_(pa.string(), pa.int32())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    records, [lost] = read(tmp_path / "a.parquet", target=1)
    assert [(r["position"], r["id"], r["text"]) for r in records] == [
        (1, "1", "a"), (2, "2", None), (4, "4", "d"),
    ]  # fmt: skip
    assert lost["position"] == 3 and lost["bytes"] == 3000 and lost["raw"] == b"c" * 3000
    assert metadata(records[0]) == {"n": 1.5, "tags": ["x"], "map": {"k": 1}, "m": 1}
    assert metadata(records[2])["metadata"] == "plain"
    assert records[2]["created"].second == 3


def test_columns_of_one_name(tmp_path: Path) -> None:
    columns: Columns = [
        ("text", pa.array(["first"])), ("a", pa.array([1])), ("a", pa.array([[2]])),
        ("text", pa.array(["second"])), ("a_2", pa.array([3])), ("id", pa.array(["own"])),
        ("id", pa.array(["other"])), ("A", pa.array([4])), ("TEXT", pa.array(["upper"])),
    ]  # fmt: skip
    pq.write_table(table_of(columns), tmp_path / "a.parquet")
    [record], lost = read(tmp_path / "a.parquet")
    assert not lost and (record["text"], record["id"]) == ("first", "own")
    assert metadata(record) == {
        "a": 1, "a_3": [2], "text_2": "second", "a_2": 3, "id_2": "other", "A": 4, "TEXT": "upper",
    }  # fmt: skip


NAMES = sorted(
    set(re.findall(r"[A-Za-z_]+|\S", moments._QUERY))
    | {"r", "rows", "json", "v", "parsed", "named", "source_", "position", "rest", "given", "$"}
    | {"file", "content_hash", "repairs", "record.a", "metadata.a", "given_source", "fields"}
    | {
        "a.b",
        "a/b",
        "a~1b",
        'q"',
        "q'",
        "`b`",
        "",
        " ",
        "\\",
        "\n",
        "select",
        "SELECT",
        "中文",
        "😀",
    }
    | {f"{field}_2" for field in FIELDS}
)


@pytest.mark.parametrize("nested", [False, True])
def test_every_name_of_our_own_internals(tmp_path: Path, nested: bool) -> None:
    def value(k: int) -> pa.Array[Any]:
        return pa.array([{"text": k, "json": [k]}]) if nested else pa.array([k])

    columns: Columns = [("text", pa.array(["t"])), ("id", pa.array(["i"]))]
    columns += [(name, value(k)) for k, name in enumerate(NAMES)]
    pq.write_table(table_of(columns), tmp_path / "a.parquet")
    [record], lost = read(tmp_path / "a.parquet", InputSettings())
    assert not lost and (record["text"], record["id"]) == ("t", "i")
    want = {n: {"text": k, "json": [k]} if nested else k for k, n in enumerate(NAMES)}
    assert metadata(record) == want and not record["repairs"]
    # One name at a time, as the text's column, and as a line of JSON.
    for name in filter(None, NAMES):  # the settings refuse an empty one
        pq.write_table(table_of([(name, pa.array(["t"])), ("x", value(1))]), tmp_path / "b.parquet")
        [record], _ = read(tmp_path / "b.parquet", InputSettings(fields={"text": name}))
        assert record["text"] == "t" and list(metadata(record)) == ["x"]
    line = tmp_path / "a.jsonl"
    line.write_text(json.dumps({"text": "t", **dict.fromkeys(NAMES, 1)}) + "\n")
    [record], _ = read(line, InputSettings())
    assert metadata(record) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
        pa.binary_view(), pa.binary(6), pa.dictionary(pa.int16(), pa.string()), pa.json_(),
    ],
    ids=str,
)  # fmt: skip
def test_text_of_any_string_type(tmp_path: Path, kind: pa.DataType) -> None:
    plain = pa.array(["中文", "ascii.", None][: 1 if kind == pa.json_() else 3])
    text: Any
    if isinstance(kind, pa.DictionaryType):
        text = plain.dictionary_encode().cast(kind)
    elif kind == pa.json_():
        text = pa.ExtensionArray.from_storage(kind, plain)
    else:
        text = plain.cast(pa.binary()).cast(kind) if kind == pa.binary(6) else plain.cast(kind)
    pq.write_table(table_of([("text", text), ("x", text)]), tmp_path / "a.parquet")
    records, lost = read(tmp_path / "a.parquet")
    assert not lost and [r["text"] for r in records] == plain.to_pylist()
    assert [metadata(r)["x"] for r in records] == plain.to_pylist()


@pytest.mark.parametrize(
    ("text", "given_text"),
    [
        (pa.array([["a", "b"]]), ["a", "b"]),
        (pa.array([{"x": "a"}]), {"x": "a"}),
        (pa.array([5]), 5),
        (pa.array([Decimal("1.5")]), 1.5),
        (pa.array([True]), True),
        (pa.nulls(1), None),
    ],
)
def test_text_that_is_no_string(tmp_path: Path, text: pa.Array[Any], given_text: object) -> None:
    pq.write_table(table_of([("text", text), ("id", pa.array(["i"]))]), tmp_path / "a.parquet")
    [record], lost = read(tmp_path / "a.parquet")
    assert not lost and record["text"] is None and record["id"] == "i"
    assert metadata(record) == ({} if given_text is None else {"given_text": given_text})


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    half = "cut \ud83d".encode("utf-8", "surrogatepass")
    columns: Columns = [
        ("text", pa.array([b"ok", b"\xff", half, b"last", None])),
        ("hash", pa.array([b"\xff\x00", b"x", b"ascii", b"\x80", None])),
        ("repairs", pa.array([1, 2, 3, 4, 5])),
    ]
    pq.write_table(table_of(columns), tmp_path / "a.parquet")
    records, [lost] = read(tmp_path / "a.parquet")
    assert (lost["position"], lost["error"], lost["raw"]) == (2, "not UTF-8", b"\xff")
    assert [r["text"] for r in records] == ["ok", "cut \ufffd", "last", None]
    assert [metadata(r) for r in records] == [
        {"hash": "data:;base64,/wA=", "repairs": 1},
        {"hash": "ascii", "record.repairs": 3, "repairs": ["surrogate"]},
        {"hash": "data:;base64,gA==", "repairs": 4},
        {"hash": None, "repairs": 5},
    ]
    assert [r["repairs"] for r in records] == [0, 1, 0, 0]


def test_no_rows_no_columns_no_text_and_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    assert read(path) == ([], [])
    pq.write_table(pa.table({"a": [1, 2, 3]}).select([]), path)
    assert read(path) == ([], [])
    pq.write_table(pa.table({"title": ["a", "b"]}), path)
    records, _ = read(path)
    assert [(r["text"], metadata(r)) for r in records] == [
        (None, {"title": "a"}), (None, {"title": "b"}),
    ]  # fmt: skip
    many = {f"c{k}": pa.array([k, None]) for k in range(10_000)}
    pq.write_table(pa.table({**many, "text": ["t", "u"]}), path)
    records, lost = read(path, InputSettings())
    assert not lost and [r["text"] for r in records] == ["t", "u"]
    assert len(metadata(records[1])) == 10_000 and metadata(records[0])["c9999"] == 9999


def test_a_value_too_long_in_one_row_costs_the_others_nothing(tmp_path: Path) -> None:
    long = "x" * 70_000_000
    table = pa.table({"text": list("abc"), "x": ["s", long, "s"], "y": [[long], ["s"], []]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression="zstd")
    records, lost = read(path, InputSettings())
    assert [(r["text"], metadata(r)) for r in records] == [("c", {"x": "s", "y": []})]
    assert [(x["position"], x["raw"], x["error"]) for x in lost] == [
        (1, b"a", "record of 70000002 bytes, more than input.max_record_bytes"),
        (2, b"b", "record of 70000002 bytes, more than input.max_record_bytes"),
    ]


def test_old_and_odd_timestamps(tmp_path: Path) -> None:
    far = pa.array([253402300799 * 10**6, 0], pa.timestamp("us"))
    columns: Columns = [("text", pa.array(["a", "b"])), ("created", far), ("t", far)]
    path = tmp_path / "a.parquet"
    pq.write_table(table_of(columns), path, use_deprecated_int96_timestamps=True)
    records, _ = read(path)
    assert [r["created"].year for r in records] == [9999, 1970]
    assert metadata(records[0])["t"].startswith("9999-12-31 23:59:59")


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
@pytest.mark.parametrize("dictionary", [["x"], []])
def test_encodings_of_strings(tmp_path: Path, encoding: str, dictionary: Any) -> None:
    table = pa.table({"text": [f"text {k}" for k in range(300)], "x": ["same"] * 300})
    encodings = {n: encoding for n in ("text", "x") if n not in dictionary}
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, use_dictionary=dictionary, column_encoding=encodings)
    records, lost = read(path)
    assert not lost and [r["text"] for r in records] == table["text"].to_pylist()
    assert [r["position"] for r in records] == list(range(1, 301))


def test_a_damaged_row_group_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text number {k}" for k in range(50)]})
    pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"text number 25")
    raw[at - 4 : at] = b"\xff" * 4
    path.write_bytes(raw)
    records, lost = read(path)
    assert len(records) + len(lost) == 50
    assert [r["position"] for r in records] == [*range(1, 21), *range(41, 51)]
    assert [x["position"] for x in lost] == list(range(21, 41))
    assert {x["error"][:16] for x in lost} == {"damaged Parquet:"}
    raw[4:120] = b"\xff" * 116
    path.write_bytes(raw)
    records, lost = read(path)
    assert len(records) == 10 and len(lost) == 40


def test_what_is_no_parquet_file_is_one_lost_record(tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    records, [lost] = read(tmp_path / "c.parquet")
    assert not records and lost["error"].startswith("can't be opened")


def test_any_damage_has_an_outcome(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": [f"text number {k} " * 3 for k in range(60)],
            "l": [["a", "b"] * (k % 3) for k in range(60)],
            "s": [{"x": k, "y": [{"z": "q"}]} for k in range(60)],
            "m": pa.array([[("k", 1)]] * 60, pa.map_(pa.string(), pa.int32())),
            "b": [b"\xff\x01"] * 60,
        }
    )
    path, rng = tmp_path / "a.parquet", random.Random(3)
    pq.write_table(table, path, row_group_size=20)
    whole = path.read_bytes()
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(rng.choice((1, 3, 10))):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        records, lost = read(path)
        assert records or lost
        assert all(x["error"] for x in lost) and all(metadata(r) for r in records)


def test_cuts_are_whole_rows_of_about_a_window() -> None:
    sizes = np.array([1, WINDOW_BYTES - 1, 1, 3 * WINDOW_BYTES, 0, 0, 5])
    assert list(parquet_reader.cuts(sizes)) == [(0, 2), (2, 3), (3, 4), (4, 7)]
    assert list(parquet_reader.cuts(np.zeros(0, np.int64))) == []
    assert list(parquet_reader.cuts(np.zeros(3, np.int64))) == [(0, 3)]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (pa.array(["ab", None, "c"]).dictionary_encode(), [2, 0, 1]),
        (pa.array([["ab", "c"], None, []]), [3, 0, 0]),
        (pa.array([{"a": "xy", "b": 1}, None]), [10, 8]),
        (pa.array([[("k", "vv")], [], None], pa.map_(pa.string(), pa.string())), [3, 0, 0]),
        (pa.array([b"abcd", None], pa.binary(4)), [4, 0]),
    ],
)
def test_sizes_of_what_values_stand_for(values: pa.Array[Any], want: list[int]) -> None:
    found = parquet_reader.sizes_of(values)
    assert found.tolist() == want or values.type == pa.struct(
        [("a", pa.string()), ("b", pa.int64())]
    )
    assert parquet_reader.sizes_of(values.slice(1)).tolist() == found.tolist()[1:]


# Parquet by hand: what no writer writes. Structs in Thrift's compact protocol.

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
BYTE_ARRAY, INT64, FIXED = 6, 2, 7
DATA, DICTIONARY = 0, 2


def varint(n: int) -> bytes:
    return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)


def zigzag(n: int) -> bytes:
    return varint(n << 1 if n >= 0 else (-n << 1) - 1)


def thrift(*fields: tuple[int, int, Any]) -> bytes:
    """A struct of fields (id, type, value); structs are bytes, lists (type, items)."""
    out, last = b"", 0
    for number, kind, value in fields:
        out += bytes([number - last << 4 | kind])
        last = number
        if kind in (I32, I64):
            out += zigzag(value)
        elif kind == BINARY:
            out += varint(len(value)) + value
        elif kind == LIST:
            inner, items = value
            out += bytes([0xF0 | inner]) + varint(len(items)) + b"".join(items)
        else:
            out += value
    return out + b"\0"


def page(kind: int, body: bytes, values: int, declared: int | None = None) -> bytes:
    packed = gzip.compress(body, mtime=0)
    size = len(body) if declared is None else declared
    head: list[tuple[int, int, Any]] = [(1, I32, kind), (2, I32, size), (3, I32, len(packed))]
    if kind == DICTIONARY:
        head.append((7, STRUCT, thrift((1, I32, values), (2, I32, 0))))
    else:
        encodings = ((2, I32, 8), (3, I32, 3), (4, I32, 3))
        head.append((5, STRUCT, thrift((1, I32, values), *encodings)))
    return thrift(*head) + packed


def bomb(
    path: Path, rows: int, value: bytes, kind: int = BYTE_ARRAY, name: bytes = b"text", **lies: int
) -> Path:
    """A file of `rows` times one value: a dictionary of it, and one run of its index."""
    body = (struct.pack("<I", len(value)) if kind == BYTE_ARRAY else b"") + value
    per_row = lies.get("per_row", 1)
    n = rows * per_row
    first = page(DICTIONARY, body, 1, lies.get("page"))
    runs = b"\0" + varint(n << 1)
    if per_row > 1:  # a list in one row: its first value begins it, all others repeat
        repeated, defined = b"\2\0" + varint(n - 1 << 1) + b"\1", varint(n << 1) + b"\1"
        runs = b"".join(struct.pack("<I", len(x)) + x for x in (repeated, defined)) + runs
    pages = first + page(DATA, runs, n)
    column = thrift(
        (1, I32, kind),
        (2, LIST, (I32, [zigzag(e) for e in (0, 3, 8)])),
        (3, LIST, (BINARY, [varint(len(name)) + name])),
        (4, I32, 2),
        (5, I64, lies.get("values", n)),
        (6, I64, 1000),
        (7, I64, lies.get("stored", len(pages))),
        (9, I64, 4 + len(first)),
        (11, I64, 4),
    )
    node: list[tuple[int, int, Any]] = [(1, I32, kind)]
    node += [(2, I32, lies.get("length", len(value)))] if kind == FIXED else []
    node += [(3, I32, 2 if per_row > 1 else 0), (4, BINARY, name)]
    node += [(6, I32, 0)] if kind == BYTE_ARRAY else []
    group = thrift(
        (1, LIST, (STRUCT, [thrift((2, I64, 4), (3, STRUCT, column))])),
        (2, I64, 1000),
        (3, I64, lies.get("declared", rows)),
    )
    schema = [thrift((4, BINARY, b"schema"), (5, I32, 1)), thrift(*node)]
    footer = thrift(
        (1, I32, 2),
        (2, LIST, (STRUCT, schema)),
        (3, I64, lies.get("declared", rows)),
        (4, LIST, (STRUCT, [group])),
    )
    path.write_bytes(b"PAR1" + pages + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


CHILD = """
import json, os, resource, sys
from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.reading import reader
from headrace.spark_jobs.settings import InputSettings, Source
def read(path):
    records, lost, errors = 0, 0, set()
    [file] = inventory_job.list_inputs([Source(uri=path)])
    file, chunks = inventory_job.survey(file, 0, 1 << 20)
    for chunk in chunks:
        for window in reader.read(file, chunk, InputSettings()):
            records += window.records.num_rows
            lost += window.lost.num_rows
            errors |= set(window.lost["error"].to_pylist())
    return records, lost, sorted(errors)
read(sys.argv[1])
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out, into = os.pipe()
    if not os.fork():
        os.write(into, json.dumps(read(path)).encode())
        os._exit(0)
    os.close(into)
    _, status, used = os.wait4(-1, 0)
    found = json.loads(os.read(out, 1 << 20) or "null")
    print(json.dumps([status, found, used.ru_maxrss - before >> 10]))
"""
REPEATED = "stands for more than 1,000 times its bytes"
MEMORY = "needs more memory than a file of its size may have"
LONG = "bytes, more than input.max_record_bytes"
BOMBS: list[tuple[str, dict[str, Any], int, int, str, int]] = [
    ("a sound file by the same hand", {"rows": 3, "value": b"hello"}, 3, 0, "", 300),
    ("4.25 GB of text", {"rows": 1_000_000, "value": b"a" * 4250}, 31_580, 1, REPEATED, 400),
    ("62 GB of text", {"rows": 60_000, "value": b"a" * 1_032_000}, 130, 1, REPEATED, 400),
    ("10^9 texts", {"rows": 10**9, "value": b"a" * 4000}, 33_554, 1, REPEATED, 400),
    ("another column", {"rows": 60_000, "value": b"b" * 90_000, "name": b"x"}, 1_491, 1, REPEATED,
     500),
    ("fixed size", {"rows": 60_000, "value": b"h" * 100_000, "kind": FIXED}, 1_342, 1, REPEATED,
     500),
    ("a text above the limit", {"rows": 30_000, "value": b"a" * 70_000_000}, 0, 30_000, LONG, 900),
    ("a row of 2 * 10^9 numbers", {"rows": 1, "value": b"\0" * 8, "kind": INT64, "name": b"x",
                                  "per_row": 2 * 10**9}, 0, 1, MEMORY, 1800),
    ("a row of 72 MB", {"rows": 1, "value": b"\0" * 8, "kind": INT64, "name": b"x",
                       "per_row": 9 * 10**6}, 0, 1, LONG, 900),
    ("a footer of 10^9 rows", {"rows": 3, "value": b"hello", "declared": 10**9}, 3, 1,
     "ends early (999,999,997 rows)", 300),
    ("rows below zero", {"rows": 3, "value": b"hello", "declared": -5}, 0, 1, "damaged", 300),
    ("values below zero", {"rows": 3, "value": b"hello", "values": -5}, 0, 3, "damaged", 300),
    ("a column beyond the file", {"rows": 3, "value": b"hello", "stored": 62 * 10**9}, 0, 3,
     "damaged", 300),
    ("a page of 2 GB", {"rows": 3, "value": b"hello", "page": 2**31 - 1}, 0, 3, MEMORY, 300),
    ("values of 2 GB", {"rows": 60_000, "value": b"hello", "kind": FIXED, "length": 2**31 - 1},
     0, 1, MEMORY, 300),
]  # fmt: skip


def test_bombs_in_bounded_memory(tmp_path: Path) -> None:
    paths = [bomb(tmp_path / f"{k}.parquet", **made) for k, (_, made, *_) in enumerate(BOMBS)]
    assert max(p.stat().st_size for p in paths) < 100_000
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(x) for x in done.stdout.splitlines()]
    for (what, _, records, lost, error, megabytes), (status, found, peak) in zip(
        BOMBS, lines, strict=True
    ):
        assert status == 0 and found[:2] == [records, lost], (what, found, done.stderr[-1000:])
        assert all(error in e for e in found[2]) and bool(found[2]) == bool(error), (what, found)
        assert peak < megabytes, f"{what}: {peak} MB"


def test_many_equal_texts_of_an_ordinary_file_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["the same text"] * 200_000}), path)
    assert path.stat().st_size < 2000
    records, lost = read(path)
    assert len(records) == 200_000 and not lost
