"""Arrow columns of any type as JSON: a value for a value where JSON has one, else text.

Whole columns are written by kernels and Arrow functions; names and values go into no query.

| Arrow | JSON |
|---|---|
| null | null |
| Boolean, integer, decimal | the same; decimals with all their digits |
| floating point of any width | a number; "NaN", "Infinity" and "-Infinity" as strings |
| string, binary | a string; bytes that aren't UTF-8 as `data:;base64,…` (RFC 2397) |
| date, time, timestamp | ISO 8601 as a string; with a time zone in UTC, with a `Z` |
| duration | a string such as "5us" |
| UUID | a string |
| list of any kind | an array |
| struct, map | an object; a second field of one name gets `_2`, a key becomes text |
| dictionary, run-end encoded, extension | as what it stands for |
| all else | the text that Python prints |
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace.infra import arrow
from headrace.infra.arrow import Binaries, Strings
from headrace.spark_jobs.kernels import json_objects as kernel
from headrace.spark_jobs.kernels.utf8 import Bytes, valid_slices
from headrace.spark_jobs.reading.json_members import Integers, slices

AnyListArray: TypeAlias = (
    "pa.ListArray[Any] | pa.LargeListArray[Any] | pa.FixedSizeListArray[Any, Any]"
    " | pa.ListViewArray[Any] | pa.LargeListViewArray[Any]"
)
LISTS = (
    pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray, pa.ListViewArray, pa.LargeListViewArray
)  # fmt: skip
"""Classes of `AnyListArray`; a map is a ListArray too, so look for that first."""

_JOINED = 100
"""Columns that are joined at a time: the effort for many at once grows faster than their number."""
_DEEPEST = 100
"""Levels of nesting of a type; a deeper one is written as text."""


def unique(names: Iterable[str]) -> list[str]:
    """Return the names, of which one that was there before gets `_2`, `_3` and so on."""
    names = list(names)
    taken, out = set(names), list[str]()
    seen: set[str] = set()
    for name in names:
        new, number = name, 1
        while new in seen or (number > 1 and new in taken):
            number += 1
            new = f"{name}_{number}"
        seen.add(new)
        out.append(new)
    return out


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are strings or bytes, be it through a dictionary."""
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return (
        pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)
        or pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
        or pt.is_fixed_size_binary(kind)
    )  # fmt: skip


def as_binary(values: pa.Array[Any]) -> Binaries:
    """N strings or bytes of any type as binary; see `is_text`."""
    if isinstance(values, pa.DictionaryArray):
        return as_binary(values.dictionary).take(values.indices)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values.cast(pa.binary())


def _or_null(texts: Strings, values: pa.Array[Any]) -> Strings:
    """`texts`, and null in JSON where there is no value."""
    return texts if not values.null_count else pc.if_else(values.is_valid(), texts, "null")


def _string_array(data: Bytes, offsets: Integers) -> Strings:
    if offsets[-1] >= 1 << 31:
        raise pa.ArrowInvalid(f"{offsets[-1]} bytes of JSON at once")
    return pa.StringArray.from_buffers(
        offsets.size - 1, pa.py_buffer(offsets.astype(np.int32).data), pa.py_buffer(data.data)
    )


def _quoted(values: Binaries) -> Strings:
    """Binary values as JSON strings."""
    data, start, stop = slices(values)
    good = valid_slices(data, start, stop)
    if not good.all():
        packed = [
            None if ok else b"data:;base64," + base64.b64encode(data[a:b].tobytes())
            for ok, a, b in zip(good.tolist(), start.tolist(), stop.tolist(), strict=True)
        ]
        values = pc.if_else(pa.array(good), values, pa.array(packed, pa.binary()))
        data, start, stop = slices(values)
    offsets = np.append(start, stop[-1:]) if stop.size else np.zeros(1, np.int64)
    return _or_null(_string_array(*kernel.quoted(data, offsets)), values)


def _in_quotes(texts: pa.Array[Any]) -> Strings:
    """Texts without anything to escape as JSON strings."""
    return arrow.join('"', texts, '"', "")


def _floats(values: pa.Array[Any]) -> Strings:
    if pt.is_float16(values.type):
        values = values.cast(pa.float32())
    texts = values.cast(pa.string())
    finite = arrow.fill_null(pc.is_finite(values), True)
    if not pc.all(finite).as_py():
        below = pc.less(values, pa.scalar(0))
        names = pc.if_else(pc.is_nan(values), "NaN", pc.if_else(below, "-Infinity", "Infinity"))
        texts = pc.if_else(finite, texts, _in_quotes(names))
    return texts


def _moments(values: pa.Array[Any]) -> Strings:
    kind = values.type
    if pt.is_timestamp(kind) and kind.tz is not None:
        plain = values.cast(pa.timestamp(kind.unit)).cast(pa.string())
        return arrow.join('"', plain, 'Z"', "")
    if pt.is_duration(kind):
        return arrow.join('"', values.cast(pa.int64()).cast(pa.string()), f'{kind.unit}"', "")
    return _in_quotes(values.cast(pa.string()))


def _uuids(values: pa.Array[Any]) -> Strings:
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    raw = np.frombuffer(b"".join(v or bytes(16) for v in values.to_pylist()), np.uint8)
    both = np.stack([digits[raw >> 4], digits[raw & 15]], axis=1).reshape(-1, 32)
    out = np.full((len(values), 36), ord("-"), np.uint8)
    at = 0
    for first, size in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
        out[:, first : first + size] = both[:, at : at + size]
        at += size
    offsets = np.arange(len(values) + 1, dtype=np.int64) * 36
    return _in_quotes(_string_array(out.ravel(), offsets))


def _lists(values: AnyListArray) -> Strings:
    # Not by a cast or by offsets: a view's lists may overlap, and its cast to lists is broken.
    sizes = arrow.integers(pc.list_value_length(values))
    return _joined("[", texts(values.flatten()), np.append(0, np.cumsum(sizes)), "]")


def _joined(before: str, parts: pa.Array[Any], offsets: Integers, after: str) -> Strings:
    """Consecutive parts put together with commas between them."""
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), parts)
    inside: Any = pc.binary_join(lists, ",")
    return arrow.join(before, inside, after, "")


def _maps(values: pa.MapArray[Any, Any]) -> Strings:
    offsets = values.offsets.to_numpy().astype(np.int64)
    first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
    keys = texts(values.keys.slice(first, size))
    plain = pc.starts_with(keys, '"')
    if not pc.all(plain).as_py():
        keys = pc.if_else(plain, keys, _quoted(keys.cast(pa.binary())))
    pairs = arrow.join(keys, texts(values.items.slice(first, size)), ":")
    return _joined("{", pairs, offsets - first, "}")


def _structs(values: pa.StructArray) -> Strings:
    names = [field.name for field in values.type]
    return objects(names, [values.field(k) for k in range(len(names))], len(values))


def _printed(values: pa.Array[Any]) -> Strings:
    """Values of a type that nothing above knows, one by one: as text, or what Python's JSON has."""
    return pa.array(
        [json.dumps(v, default=str, ensure_ascii=False) for v in values.to_pylist()], pa.string()
    )


def _depth(kind: pa.DataType) -> int:
    """Levels of a type, of which no more are looked at than are allowed."""
    level, kinds = 0, [kind]
    while kinds and level <= _DEEPEST:
        level += 1
        kinds = [k.field(n).type for k in kinds for n in range(k.num_fields)]
    return level


def _whole(values: pa.Array[Any]) -> Strings:
    """Values as JSON strings of what they print."""
    return pa.array(
        [None if v is None else json.dumps(str(v), ensure_ascii=False) for v in values.to_pylist()],
        pa.string(),
    )


def _used(values: pa.DictionaryArray[Any, Any]) -> tuple[pa.Array[Any], Integers]:
    """Return (the values of a dictionary array that it uses, where each row's is among them).

    The others may be many, or longer than any record may be.
    """
    number = arrow.integers(values.indices, null=-1)
    used, at = np.unique(number, return_inverse=True)
    return values.dictionary.take(pa.array(used, pa.int64(), mask=used < 0)), at


def texts(values: pa.Array[Any]) -> Strings:
    """N values of any type as N JSON texts; a null is `null`."""
    kind = values.type
    if pt.is_null(kind):
        return pa.array(["null"] * len(values), pa.string())
    if isinstance(values, pa.DictionaryArray):
        used, at = _used(values)
        return arrow.fill_null(texts(used).take(at), "null")
    if isinstance(values, pa.RunEndEncodedArray):
        return texts(arrow.run_end_decode(values))
    if isinstance(values, pa.ExtensionArray):
        if values.type.extension_name == "arrow.uuid":
            return _or_null(_uuids(values.storage), values)
        return texts(values.storage)
    if is_text(kind):
        return _quoted(as_binary(values))
    if pt.is_boolean(kind) or pt.is_integer(kind) or pt.is_decimal(kind):
        out = values.cast(pa.string())
    elif pt.is_floating(kind):
        out = _floats(values)
    elif pt.is_temporal(kind) and not pt.is_interval(kind):
        out = _moments(values)
    elif pt.is_nested(kind) and _depth(kind) > _DEEPEST:
        out = _whole(values)
    elif isinstance(values, pa.MapArray):
        out = _maps(values)
    elif isinstance(values, pa.StructArray):
        out = _structs(values)
    elif isinstance(values, LISTS):
        out = _lists(values)
    else:
        return _printed(values)
    return _or_null(out, values)


def objects(names: Sequence[str], columns: Sequence[pa.Array[Any]], rows: int) -> Strings:
    """N JSON objects of columns with these names."""
    if not columns:
        return pa.array(["{}"] * rows, pa.string())
    keys = [json.dumps(name, ensure_ascii=False) + ":" for name in unique(names)]
    parts = [arrow.join(key, texts(column), "") for key, column in zip(keys, columns, strict=True)]
    while len(parts) > 1:
        parts = [arrow.join(*parts[k : k + _JOINED], ",") for k in range(0, len(parts), _JOINED)]
    return arrow.join("{", parts[0], "}", "")
