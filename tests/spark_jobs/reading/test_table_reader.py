"""CSV and TSV: what a writer wrote is what is read, and what can't be is counted."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.files.unpack import DamagedError
from headrace.spark_jobs.reading import table_reader
from headrace.spark_jobs.settings import InputSettings

SMALL = InputSettings(max_record_bytes=200)


def read(
    data: bytes | Iterator[bytes], name: str = "a.csv", settings: InputSettings = SMALL
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(records, lost) of a table."""
    blocks = (
        [data[k : k + 50] for k in range(0, len(data), 50)] if isinstance(data, bytes) else data
    )
    records: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    for window in table_reader.read(blocks, name, "source", settings):
        records += window.records.to_pylist()
        lost += window.lost.to_pylist()
    return records, lost


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(CELL, CELL), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_as_csv_is_read(rows: list[tuple[str, str]], end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("other", "text"), *rows])
    records, lost = read(out.getvalue().encode())
    assert not lost
    assert [(r["position"], r["text"], json.loads(r["metadata"])) for r in records] == [
        (k, text, {"other": other}) for k, (other, text) in enumerate(rows, 1)
    ]


def test_tabs_need_no_quotes_and_a_quote_is_a_character() -> None:
    records, lost = read(b'id\ttext\n1\t"Come in," she said.\n2\t5" wide\n', "a.tsv.gz")
    assert [(r["id"], r["text"]) for r in records] == [
        ("1", '"Come in," she said.'), ("2", '5" wide'),
    ]  # fmt: skip
    assert not lost


def test_every_fault_is_counted_where_it_is() -> None:
    records, lost = read(
        b'\xef\xbb\xbfid,text\r\n1,first\r\n2,a,b\r\n\r\n3,"two\nlines"\r\n4,x\xff\r\n5\r\n6,'
        + b"x" * 300
        + b"\r\n7,last\r\n8,x,\xd3\xef"
    )
    assert [(r["position"], r["id"], r["text"]) for r in records] == [
        (1, "1", "first"), (3, "3", "two\nlines"), (7, "7", "last"),
    ]  # fmt: skip
    assert {x["position"]: x["error"] for x in lost} == {
        2: "a row of 3 fields, not 2 as the first",
        4: "not UTF-8",
        5: "a row of 1 fields, not 2 as the first",
        6: "record of 301 bytes, more than input.max_record_bytes",
        8: "a row of 3 fields, not 2 as the first",
    }
    assert {x["position"]: x["raw"] for x in lost if len(x["raw"]) < 10} == {
        2: b"2,a,b", 4: b"x\xff", 5: b"5", 8: b"8,x,\xd3\xef",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (
            b"id,content\n1,x\n",
            "a.csv",
            "CSV without one column `text` (its first row: id, content)",
        ),
        (b"1\tx\n", "a.tsv", "TSV without one column `text` (its first row: 1, x)"),
        (b"text,text\n1,x\n", "a.csv", "CSV without one column `text` (its first row: text, text)"),
        (b"id;text\n1;x\n", "a.csv", "CSV without one column `text` (its first row: id;text)"),
    ],
)
def test_a_table_whose_first_row_names_no_text_is_unreadable(
    data: bytes, name: str, said: str
) -> None:
    records, [one] = read(data, name)
    assert not records and one["error"] == said and one["bytes"] == len(data)


def test_another_name_of_the_text_and_two_columns_of_one_name() -> None:
    settings = InputSettings(fields={"text": "body"})
    [record], lost = read(b"body,text,x,x\na,b,1,2\n", settings=settings)
    assert not lost and record["text"] == "a"
    assert json.loads(record["metadata"]) == {"text": "b", "x": "1", "x (4)": "2"}


def test_columns_whose_numbered_names_meet_are_all_kept() -> None:
    [record], lost = read(b"text,a,a,a (3)\nx,1,2,3\n")
    assert not lost
    assert sorted(json.loads(record["metadata"]).values()) == ["1", "2", "3"]


def test_a_quote_that_is_never_closed_costs_the_last_record() -> None:
    records, [one] = read(b'text\ngood\n"open\nswallowed\nswallowed\n')
    assert [r["text"] for r in records] == ["good"]
    assert (one["position"], one["error"]) == (2, "a quote that isn't closed")
    assert one["bytes"] == len("open\nswallowed\nswallowed\n")


def test_a_table_of_any_length_is_read_in_bounded_memory() -> None:
    import tracemalloc

    row = b"1," + b"x" * 998 + b"\n"
    blocks = (b"id,text\n" if k == 0 else row * 1000 for k in range(150))
    tracemalloc.start()
    n = 0
    for window in table_reader.read(blocks, "a.csv", "source", InputSettings()):
        n += window.records.num_rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 149_000 and peak < 60 << 20


def test_a_damaged_stream_gives_its_whole_rows() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"text\none\ntwo\nthr"
        raise DamagedError("truncated gzip")

    records, [one] = read(blocks())
    assert [r["text"] for r in records] == ["one", "two"]
    assert (one["position"], one["error"], one["raw"]) == (3, "truncated gzip", b"thr")


def test_positions_hold_over_many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "WINDOW_BYTES", 200)
    rows = [f"{k},b,c" if k % 7 == 3 else f"{k},text {k}" for k in range(1, 300)]
    records, lost = read("\n".join(["id,text", *rows]).encode())
    assert [(r["position"], r["text"]) for r in records] == [
        (k, f"text {k}") for k in range(1, 300) if k % 7 != 3
    ]
    assert [x["position"] for x in lost] == [k for k in range(1, 300) if k % 7 == 3]
