"""From JSON to records: every line has one outcome, metadata is strict JSON, nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strict_json import strict

from headrace.spark_jobs.kernels import json_objects as kernel
from headrace.spark_jobs.kernels.lines import Block
from headrace.spark_jobs.reading.json_repair import UnreadableJsonError, members, repair
from headrace.spark_jobs.reading.records import LOST, RECORD, from_columns, from_json, from_lines
from headrace.spark_jobs.settings import FIELDS, InputSettings

NUMBERS = (
    "0", "-0", "7", "-12", "1.50", "0.1000000000000000055", "123456789012345678901234567890",
    "1E5", "1e-400", "9e307", "0.5e308",
)  # fmt: skip
NO_NUMBERS = (
    "NaN", "nan", "Infinity", "-Infinity", "1e400", "-1e400", "2e308", "9" * 400, "01", "-01",
    "+1", ".5", "1.", "0x1F", "inf",
)  # fmt: skip
KEYS = (
    "text", "id", "metadata", "source", "lang", "created", "given_source", "given_id", "repairs",
    "record.repairs", "metadata.a", "a", "b", "A", "é", 'q"\\', "中文", "\n", "",
)  # fmt: skip


class Word(str):
    """What is written like a number, is none, and becomes a string."""


@dataclass(frozen=True)
class Written:
    """A JSON value as it is written, what it means, and whether it has to be repaired."""

    text: str
    value: Any
    odd: bool = False


@st.composite
def strings(draw: st.DrawFn) -> Written:
    """Strings with escapes or without, with halves of pairs and raw control characters."""
    value = draw(st.text(st.characters(exclude_categories=()), max_size=8))
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    try:
        value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return Written(json.dumps(value), whole, True)
    if draw(st.booleans()):
        return Written(json.dumps(whole), whole)
    if draw(st.booleans()):
        raw = draw(st.sampled_from(["\t", "\x00", "\x1f"]))
        return Written(f'"{raw}' + json.dumps(whole, ensure_ascii=False)[1:], raw + whole, True)
    return Written(json.dumps(whole, ensure_ascii=False), whole)


def numbers() -> st.SearchStrategy[Written]:
    """Numbers, and words that some writers take for numbers."""
    return st.one_of(
        st.sampled_from(NUMBERS).map(
            lambda n: Written(n, int(n) if n.lstrip("-").isdigit() else Decimal(n))
        ),
        st.sampled_from(NO_NUMBERS).map(lambda n: Written(n, Word(n), True)),
    )


def array_of(items: list[Written]) -> Written:
    return Written(
        "[" + " , ".join(i.text for i in items) + "]",
        [i.value for i in items],
        any(i.odd for i in items),
    )


def object_of(items: list[tuple[Written, Written]]) -> Written:
    names = [key.value for key, _ in items]
    return Written(
        "{ " + ",".join(f"{key.text}: {value.text}\t" for key, value in items) + "}",
        {key.value: value.value for key, value in items},
        len(set(names)) < len(names) or any(key.odd or value.odd for key, value in items),
    )


def keys() -> st.SearchStrategy[Written]:
    """Keys of which many come twice, in escapes or not."""
    known = st.tuples(st.sampled_from(KEYS), st.booleans())
    return st.one_of(
        known.map(lambda k: Written(json.dumps(k[0], ensure_ascii=k[1]), k[0])), strings()
    )


def values() -> st.SearchStrategy[Written]:
    """Any JSON value."""
    words = [Written(w, json.loads(w)) for w in ("true", "false", "null")]
    return st.recursive(
        st.one_of(strings(), numbers(), st.sampled_from(words)),
        lambda inside: st.one_of(
            st.lists(inside, max_size=3).map(array_of),
            st.lists(st.tuples(keys(), inside), max_size=4).map(object_of),
            st.lists(st.tuples(keys(), inside), max_size=2)
            .map(object_of)
            .map(lambda o: Written(json.dumps(o.text), o.text)),
        ),
        max_leaves=8,
    )


def objects() -> st.SearchStrategy[Written]:
    """Any JSON object."""
    return st.lists(st.tuples(keys(), values()), max_size=6).map(object_of)


Rows = list[dict[str, Any]]


def read(*lines: bytes | str | dict[str, Any], **settings: Any) -> tuple[Rows, Rows]:
    """(records, lost) of JSON lines."""
    texts = [json.dumps(x) if isinstance(x, dict) else x for x in lines]
    raw = [x if isinstance(x, bytes) else x.encode() for x in texts]
    window = from_lines(Block(b"\n".join(raw), 1), "s", InputSettings(**settings))
    assert window.records.schema == RECORD and window.lost.schema == LOST
    return window.records.to_pylist(), window.lost.to_pylist()


def one(line: bytes | str | dict[str, Any], **settings: Any) -> tuple[dict[str, Any], Any]:
    """(record, its metadata) of a line that is one."""
    [record], lost = read(line, **settings)
    assert not lost, lost
    return record, strict(record["metadata"])


@given(st.lists(objects(), min_size=1, max_size=4))
def test_the_kernel_calls_odd_what_has_to_be_repaired(items: list[Written]) -> None:
    raw = [i.text.encode() for i in items]
    ends = np.cumsum([len(r) for r in raw])
    data = np.frombuffer(b"".join(raw), np.uint8)
    found = kernel.scan(data, ends - [len(r) for r in raw], ends)
    assert found.sound.tolist() == [not i.odd for i in items]


@given(objects())
def test_what_is_repaired_is_strict_and_means_the_same(item: Written) -> None:
    found = repair(item.text.encode())
    assert strict(found.text) == item.value
    assert bool(found.repairs) == item.odd
    assert {k: strict(v) for k, v in members(found.text)} == item.value


def inner(value: Mapping[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """(the members that a record's own metadata has, whether a string there is repaired)."""
    held = value.get("metadata")
    if isinstance(held, dict):
        return held, False
    if isinstance(held, str) and held.lstrip(" \t\r\n").startswith("{"):
        try:
            found = repair(held.encode())
        except UnreadableJsonError:
            return None, False
        return strict(found.text), bool(found.repairs)
    return None, False


def check(record: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    """All that an object means is in its record, and nothing else."""
    left = strict(record["metadata"])
    if record["repairs"]:
        assert left.pop("repairs")
    text, own_id = value.get("text"), value.get("id")
    is_text = isinstance(text, str) and type(text) is not Word
    assert record["text"] == (text if is_text else None)
    is_id = type(own_id) in (str, int)
    assert len(record["id"]) == 32 or is_id
    assert not is_id or (int(record["id"]) if type(own_id) is int else record["id"]) == own_id
    used = {"text": is_text, "id": is_id, "created": record["created"] is not None}
    given_back = [
        f
        for f in ("text", "id", "created", "source", "lang", "domain")
        if value.get(f) is not None and not used.get(f)
    ]
    held, _ = inner(value)
    unknown = {k: v for k, v in value.items() if k not in FIELDS}
    for prefix, group in (("record.", unknown), ("metadata.", held or {})):
        for key, wanted in group.items():
            places = (left.get(prefix * n + key, left) for n in range(5))
            assert any(found == wanted for found in places), (key, left)
    plain = value.get("metadata") is not None and held is None
    assert len(left) == len(unknown) + len(held or {}) + len(given_back) + plain, left


@given(st.lists(objects(), min_size=1, max_size=5), st.integers(1, 5))
def test_every_line_is_a_record_with_strict_metadata(items: list[Written], cut: int) -> None:
    lines = [i.text for i in items]
    records, lost = read(*lines)
    assert not lost and [r["position"] for r in records] == list(range(1, len(items) + 1))
    for record, item in zip(records, items, strict=True):
        assert (record["repairs"] > 0) == (item.odd or inner(item.value)[1])
        check(record, item.value)
    # However the lines are cut into blocks, and as values of an array as well.
    assert read(*lines[:cut])[0] == records[:cut]
    position = np.arange(1, len(lines) + 1)
    window = from_json(pa.array(lines), position, "s", InputSettings())
    assert window.records.to_pylist() == records


@given(st.lists(st.binary(max_size=20) | st.text('{}[]:,"\\ue0a1.-+tru \t', max_size=20)))
def test_every_line_has_one_outcome(parts: list[bytes | str]) -> None:
    raw = [p.encode() if isinstance(p, str) else p.replace(b"\n", b"") for p in parts]
    lines = [*raw, *(b'{"text": "' + p + b'"}' for p in raw), *(b'{"a": ' + p + b"}" for p in raw)]
    records, lost = read(*lines)
    blank = len(lines) - len(records) - len(lost)
    assert sorted({r["position"] for r in records + lost}) == sorted(
        r["position"] for r in records + lost
    )
    assert blank <= sum(not p.strip(b" \t\r\x00") or not p.strip() for p in raw) + len(raw)
    for record in records:
        strict(record["metadata"])
    for row in lost:
        assert row["error"] and row["raw"] == lines[row["position"] - 1].rstrip(b"\r")[:4096]


def test_half_a_surrogate_pair_is_replaced_and_counted() -> None:
    record, metadata = one(
        r'{"text": "a \ud83d b \ude00\ud83d\ude00", "id": "\udc00", "k\ud800": {"n": ["\udfff"]}}'
    )
    assert record["text"] == "a \ufffd b \ufffd😀" and record["id"] == "\ufffd"
    assert metadata == {"k\ufffd": {"n": ["\ufffd"]}, "repairs": ["surrogate"]}
    assert record["repairs"] == 5
    # Some writers put the halves into the bytes, one by one.
    record, _ = one('{"text": "\ud83d\ude00 \ud83d"}'.encode("utf-8", "surrogatepass"))
    assert (record["text"], record["repairs"]) == ("😀 \ufffd", 2)


def test_of_a_key_given_twice_the_last_wins_and_it_is_counted() -> None:
    record, metadata = one(
        '{"text": "first", "id": 1, "a": {"b": 1, "b": 2}, "id": 2, "text": "last",'
        ' "metadata": {"x": [{"y": 1, "\\u0079": 1}]}}'
    )
    assert (record["text"], record["id"], record["repairs"]) == ("last", "2", 4)
    assert metadata == {
        "a": {"b": 2},
        "x": [{"y": 1}],
        "repairs": [f"duplicate key: {key}" for key in ("b", "id", "text", "y")],
    }


@pytest.mark.parametrize("word", NO_NUMBERS)
def test_what_is_no_number_in_json_becomes_a_string(word: str) -> None:
    record, metadata = one(f'{{"text": "t", "score": {word}, "in": [{{"x": {word}}}]}}')
    short = word if len(word) < 60 else word[:60] + "…"
    assert metadata == {"score": word, "in": [{"x": word}], "repairs": [f"number: {short}"]}
    assert record["repairs"] == 2
    record, metadata = one(f'{{"text": {word}, "id": {word}, "lang": {word}}}')
    assert record["text"] is None and len(record["id"]) == 32
    del metadata["repairs"]
    assert metadata == {"given_text": word, "given_id": word, "given_lang": word}


@pytest.mark.parametrize("number", NUMBERS)
def test_unknown_fields_keep_their_bytes(number: str) -> None:
    members_of = f'"z": null, "n": {number}, "a": "\\u4e2d\\/", "list": [ {number}, null ]'
    for line in (
        f'{{"text": "t", {members_of}}}',
        f'{{"text": "t", "metadata": {{{members_of}}}}}',
        json.dumps({"text": "t", "metadata": f"{{{members_of}}}"}),
    ):
        [record], _ = read(line)
        assert record["metadata"].replace(", ", ",") == f"{{{members_of}}}".replace(", ", ",")
        assert not record["repairs"]


def test_keys_that_collide_are_all_kept() -> None:
    record, metadata = one(
        {
            "text": "t", "title": 1, "given_source": 2, "source": 3, "record.given_source": 4,
            "metadata": {"title": 5, "given_source": 6, "metadata.title": 7, "repairs": [8]},
        }
    )  # fmt: skip
    assert metadata == {
        "title": 1, "given_source": 3, "record.given_source": 4, "record.record.given_source": 2,
        "metadata.title": 7, "metadata.metadata.title": 5, "metadata.given_source": 6,
        "repairs": [8],
    }  # fmt: skip
    assert not record["repairs"]
    _, metadata = one('{"text": "t", "repairs": 1, "x": NaN, "metadata": {"repairs": 2}}')
    assert metadata == {
        "repairs": ["number: NaN"], "record.repairs": 1, "metadata.repairs": 2, "x": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given_metadata", "want"),
    [
        ({}, {}),
        ("", {"metadata": ""}),
        ("plain", {"metadata": "plain"}),
        ("[1]", {"metadata": "[1]"}),
        ('{"a": ', {"metadata": '{"a": '}),
        (' {"a": null, "b": [1]} ', {"a": None, "b": [1]}),
        ('{"a": NaN, "a": "\\ud800"}', {"a": "\ufffd"}),
        ([1, None], {"metadata": [1, None]}),
        (7, {"metadata": 7}),
        (None, {}),
    ],
)
def test_metadata_of_any_kind(given_metadata: Any, want: dict[str, Any]) -> None:
    record, metadata = one({"text": "t", "metadata": given_metadata})
    assert bool(metadata.pop("repairs", None)) == bool(record["repairs"])
    assert metadata == want


@pytest.mark.parametrize(("depth", "kept"), [(98, True), (100, False), (10_000, False)])
def test_deep_nesting_becomes_text(depth: int, kept: bool) -> None:
    deep = "[" * depth + "]" * depth
    record, metadata = one(f'{{"text": "t", "a": {deep}, "b": 1}}')
    assert record["text"] == "t" and metadata["b"] == 1
    assert metadata["a"] == (json.loads(deep) if kept else deep)
    assert record["repairs"] == (0 if kept else 1)
    # Where headrace wants a string, a text of something else is none.
    record, metadata = one(f'{{"text": {deep}, "metadata": {{"a": {deep}}}}}')
    assert record["text"] is None and set(metadata) - {"repairs"} == {"given_text", "a"} - (
        set() if kept else {"a"}
    ) | (set() if kept else {"a"})


def test_byte_order_marks_control_characters_and_nul() -> None:
    records, lost = read(
        b'\xef\xbb\xbf{"text": "mark"}',
        b'{"text": "a\tb\x00\x1f", "k\x01": "\\u0000"}',
        b'\xef\xbb\xbf\xef\xbb\xbf {"text": "two"}',
        b"\xef\xbb\xbf",
    )
    assert not lost and [r["text"] for r in records] == ["mark", "a\tb\x00\x1f", "two"]
    assert [r["repairs"] for r in records] == [1, 4, 2]
    assert strict(records[1]["metadata"]) == {"k\x01": "\x00", "repairs": ["control character"]}


@pytest.mark.parametrize("text", [5, 1.5, None, True, [1], {"a": "b"}, ["x"]])
def test_text_that_is_no_string_is_kept_as_given(text: object) -> None:
    record, metadata = one({"text": text})
    assert record["text"] is None
    assert metadata == ({} if text is None else {"given_text": text})


@pytest.mark.parametrize(
    ("own", "want"),
    [("x", "x"), (7, "7"), (10**30, str(10**30)), (-0, "0"), (1.5, None), ([], None), (True, None)],
)
def test_numbers_as_ids(own: object, want: str | None) -> None:
    record, metadata = one({"text": "t", "id": own})
    assert record["id"] == want if want else len(record["id"]) == 32
    assert metadata == ({} if want else {"given_id": own})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"a": 1', "not valid JSON: it ends early at character 8"),
        (b'{"a": "x', "not valid JSON: it ends early at character 7"),
        (b'{"a" 1}', "not valid JSON: no colon after a key at character 6"),
        (b'{"a": 1, }', "not valid JSON: no key but '}' at character 10"),
        (b"{'a': 1}", "not valid JSON: no key but \"'a'\" at character 2"),
        (b'{"a": None}', "not valid JSON: 'None' at character 7"),
        (b'{"a": "\\x41"}', "not valid JSON: invalid \\escape at character 7"),
        (b'{"a": 1} {"b": 2}', "not valid JSON: more after its end at character 10"),
        (b"[1, 2]", "a JSON array, not an object"),
        (b'"x"', "a JSON string, not an object"),
        (b"7", "a JSON number, not an object"),
        (b"null", "a JSON null, not an object"),
        (b"nonsense", "not valid JSON: 'nonsense' at character 1"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": ' + b"[" * 5000, "not valid JSON: brackets that don't match at character 7"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_unreadable(line: bytes, error: str) -> None:
    records, lost = read(b'{"text": "before"}', line, b'{"text": "after"}')
    assert [r["text"] for r in records] == ["before", "after"]
    assert [(x["position"], x["error"], x["raw"]) for x in lost] == [(2, error, line[:4096])]
    assert lost[0]["bytes"] == len(line)


def test_two_fields_of_one_name_and_odd_names() -> None:
    line = {'u"\\rl': "x", "text": "t", "n": 1}
    record, metadata = one(line, fields={"id": 'u"\\rl', "source": 'u"\\rl'})
    assert record["id"] == "x" and metadata == {"given_source": "x", "n": 1}


def test_a_long_record_is_unreadable_whichever_way_it_would_be_read() -> None:
    long = '{"text": "' + "x" * 100 + '", "a": %s}'
    records, lost = read(long % 1, long % "NaN", '{"text": "t"}', max_record_bytes=60)
    assert [r["position"] for r in records] == [3]
    assert {x["error"] for x in lost} == {
        "record of 120 bytes, more than input.max_record_bytes",
        "record of 122 bytes, more than input.max_record_bytes",
    }


def test_repairs_before_the_record_are_counted_and_named() -> None:
    rest = pa.array(['{"a": 1}', '{"a": NaN}', '{"x": ' + "[" * 300 + "]" * 300 + "}", "no JSON"])
    table = from_columns(
        pa.array(["t", "u", None, "v"]),
        rest,
        np.arange(4),
        "s",
        InputSettings(),
        repairs=pa.array([3, 1, 0, 0], pa.int32()),
        named={1: Counter(surrogate=2)},
    )
    assert table["repairs"].to_pylist() == [3, 4, 1, 0]
    metadata = [strict(m) for m in table["metadata"].to_pylist()]
    assert metadata[0] == {"a": 1}
    assert metadata[1] == {"a": "NaN", "repairs": ["number: NaN", "surrogate"]}
    assert metadata[2]["x"] == "[" * 300 + "]" * 300
    assert metadata[3] == {"fields": "no JSON"}
