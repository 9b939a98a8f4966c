"""Many objects at once: what is sound and what is repaired stand in one place."""

import numpy as np
import pyarrow as pa

from headrace.spark_jobs.kernels import json_objects as kernel
from headrace.spark_jobs.reading import json_members

NAMES = ("a", "b")


def read(*texts: bytes, valid: list[bool] | None = None) -> json_members.Objects:
    data, start, stop = json_members.slices(pa.array(texts, pa.binary()))
    mask = None if valid is None else np.array(valid)
    return json_members.read(data, start, stop, NAMES, NAMES[:1], mask)


def test_values_as_strings_and_as_they_were_written() -> None:
    objects = read(
        b'{"a": "x", "c": 1}',
        b'{"a": "\\n", "b" : [1, 2] , "d": null}',
        b'{"b": NaN, "a": 7}',
        b"{}",
    )
    assert objects.strings(0).to_pylist() == ["x", "\n", None, None]
    assert objects.strings(1).to_pylist() == [None, None, "NaN", None]
    have = ~objects.has(1, kernel.ABSENT)
    assert objects.raw(1, have).to_pylist() == [None, "[1, 2]", '"NaN"', None]
    assert objects.raw(0, objects.has(0, kernel.INTEGER)).to_pylist() == [None, None, "7", None]
    assert objects.rest.to_pylist() == ['"c": 1', '"d": null', "", ""]
    assert objects.repairs == {2: {"number: NaN": 1}} and not objects.errors


def test_errors_and_what_is_left_without_them() -> None:
    objects = read(b"[]", b'{"a": 1, "a": "2"}', b"x", b'{"b": 3}')
    assert {k: e[:14] for k, e in objects.errors.items()} == {
        0: "a JSON array, ", 2: "not valid JSON",
    }  # fmt: skip
    good = objects.filter(np.array([False, True, False, True]))
    assert good.strings(0).to_pylist() == ["2", None] and not good.errors
    assert good.repairs == {0: {"duplicate key: a": 1}}
    assert good.raw(1, good.has(1, kernel.INTEGER)).to_pylist() == [None, "3"]


def test_bytes_that_are_not_utf8_are_never_scanned() -> None:
    half = '{"c": "\ud83d"}'.encode("utf-8", "surrogatepass")
    objects = read(b'{"c": "\xff"}', half, b'{"c": 1}', valid=[False, False, True])
    assert objects.errors == {0: "not UTF-8"} and objects.repairs == {1: {"surrogate": 1}}
    assert objects.rest.to_pylist() == ["", '"c":"\ufffd"', '"c": 1']


def test_nothing() -> None:
    objects = json_members.read(*json_members.slices(pa.array([], pa.string())), NAMES)
    assert objects.strings(0).to_pylist() == [] == objects.rest.to_pylist()
