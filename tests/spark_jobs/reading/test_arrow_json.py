"""Arrow columns as JSON: every type has a value or a text, and nothing is lost."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strict_json import strict

from headrace.spark_jobs.reading import arrow_json

DAY = datetime.date(2024, 5, 6)
NAN, INF = float("nan"), float("inf")
STRUCT = pa.struct([("a", pa.int8()), ("b", pa.list_(pa.string()))])
MONTH_DAY_NANO: Any = pa.MonthDayNano
SPAN = MONTH_DAY_NANO([1, 2, 3])
CASES: list[tuple[pa.Array[Any], list[Any]]] = [
    (pa.nulls(2), [None, None]),
    (pa.array([True, None, False]), [True, None, False]),
    (pa.array([-128, None], pa.int8()), [-128, None]),
    (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    (pa.array(np.array([1.5, NAN, -INF], np.float16)), [1.5, "NaN", "-Infinity"]),
    (pa.array([0.5, None, INF], pa.float32()), [0.5, None, "Infinity"]),
    (pa.array([1e300, 5e-324, -0.0]), [Decimal("1e300"), Decimal("5e-324"), 0]),
    (pa.array([Decimal("1.20"), None]), [Decimal("1.20"), None]),
    (pa.array([Decimal("12E+5")], pa.decimal128(5, -3)), [1_200_000]),
    (pa.array([10**60], pa.decimal256(70, 0)), [10**60]),
    (pa.array(['"\\\n\x01中', None, ""]), ['"\\\n\x01中', None, ""]),
    (pa.array(["x", None], pa.large_string()), ["x", None]),
    (pa.array(["long enough for it", None], pa.string_view()), ["long enough for it", None]),
    (pa.array([b"text", b"\xff\x00", None]), ["text", "data:;base64,/wA=", None]),
    (pa.array([b"\xff" * 20, b"ok"], pa.binary_view()), ["data:;base64," + "/" * 26 + "8=", "ok"]),
    (pa.array([b"\xfe"], pa.large_binary()), ["data:;base64,/g=="]),
    (pa.array([b"ab", None], pa.binary(2)), ["ab", None]),
    (pa.array([DAY, None]), ["2024-05-06", None]),
    (pa.array([DAY], pa.date64()), ["2024-05-06"]),
    (pa.array([1, None], pa.timestamp("s")), ["1970-01-01 00:00:01", None]),
    (
        pa.array([1, None], pa.timestamp("ns", "Asia/Shanghai")),
        ["1970-01-01 00:00:00.000000001Z", None],
    ),
    (pa.array([0], pa.timestamp("us", "Mars/Base")), ["1970-01-01 00:00:00.000000Z"]),
    (pa.array([61], pa.time32("s")), ["00:01:01"]),
    (pa.array([1], pa.time64("ns")), ["00:00:00.000000001"]),
    (pa.array([5, None], pa.duration("us")), ["5us", None]),
    (pa.array([SPAN, None]), [[1, 2, 3], None]),
    (pa.array([["a", None], None, []]), [["a", None], None, []]),
    (pa.array([["a"], None, []], pa.large_list(pa.string())), [["a"], None, []]),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)), [[1, 2], None, [3, 4]]),
    (pa.array([["a", None], None, []], pa.list_view(pa.string())), [["a", None], None, []]),
    (pa.array([["a"], None], pa.large_list_view(pa.string())), [["a"], None]),
    (pa.array([[NAN], None]), [["NaN"], None]),
    (
        pa.array([[("k", 1), ("l", None)], None, []], pa.map_(pa.string(), pa.int32())),
        [{"k": 1, "l": None}, None, {}],
    ),
    (pa.array([[(7, [NAN])]], pa.map_(pa.int32(), pa.list_(pa.float64()))), [{"7": ["NaN"]}]),
    (pa.array([[({"a": 1}, "v")]], pa.map_(pa.struct([("a", pa.int8())]), pa.string())),
     [{'{"a":1}': "v"}]),
    (pa.array([{"a": 1, "b": ["x"]}, None], STRUCT), [{"a": 1, "b": ["x"]}, None]),
    (pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), [{"a": 1, "a_2": 2}]),
    (pa.array([{}, None], pa.struct([])), [{}, None]),
    (pa.array(["x", None, "y", "x"]).dictionary_encode(), ["x", None, "y", "x"]),
    (
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array([["a"], None])),
        [None, ["a"], None],
    ),
    (
        pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None])),
        ["a", "a", None],
    ),
    (
        pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()),
        ["00000000-0000-0000-0000-000000000005", None],
    ),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None])), ['{"a": 1}', None]),
    (
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array("ab")]),
        [1, "b"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("values", "want"), CASES, ids=lambda x: str(getattr(x, "type", ""))[:40])
def test_every_type(values: pa.Array[Any], want: list[Any]) -> None:
    found = arrow_json.texts(values)
    assert found.type == pa.string() and not found.null_count
    assert [strict(t) for t in found.to_pylist()] == want
    for k in range(len(values)):
        assert arrow_json.texts(values.slice(k, 1)).to_pylist() == found.to_pylist()[k : k + 1]
    assert arrow_json.texts(values.slice(0, 0)).to_pylist() == []
    # In a list, and twice in an object.
    lists = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    assert strict(arrow_json.texts(lists)[0].as_py()) == want
    rows = arrow_json.objects(["x", "x"], [values, values], len(values)).to_pylist()
    assert [strict(r) for r in rows] == [{"x": v, "x_2": v} for v in want]


def test_a_type_nested_very_deep_is_text() -> None:
    values = pa.array([{"x": 1}, None])
    for _ in range(150):
        values = pa.StructArray.from_arrays([values], ["n"])
    one, two = (strict(t) for t in arrow_json.texts(values).to_pylist())
    assert one.startswith("{'n': {'n'") and "'x': 1" in one and isinstance(two, str)


@given(st.lists(st.text(max_size=3), max_size=8))
def test_unique_names(names: list[str]) -> None:
    found = arrow_json.unique(names)
    assert len(set(found)) == len(names)
    for k, (old, new) in enumerate(zip(names, found, strict=True)):
        assert new == old if old not in names[:k] else new.startswith(f"{old}_")


def test_many_columns() -> None:
    names = [f"c{k}" for k in range(10_000)]
    column = pa.array(["v", None])
    rows = arrow_json.objects(names, [column] * len(names), 2).to_pylist()
    assert [strict(r) for r in rows] == [dict.fromkeys(names, "v"), dict.fromkeys(names)]
    assert arrow_json.objects([], [], 2).to_pylist() == ["{}", "{}"]
