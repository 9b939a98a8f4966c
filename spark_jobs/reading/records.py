"""From raw lines and columns to records: fields by name, everything else into `metadata`.

`metadata` is put together from slices of the input, so that what isn't repaired keeps its bytes:

- first the record's fields that headrace doesn't know, then the members of the record's `metadata`
  (an object, or a string that holds one), then `given_<field>` for what the record had where
  headrace sets the value, and `metadata` for one that is no object;
- a key that two of them have stays with `given_<field>`, else with the record's field; the other
  one is `record.<key>` or `metadata.<key>`;
- `repairs` names what had to be repaired.

A kernel scans the lines; `json_repair` reads the few that are odd.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import arrow
from headrace.infra.arrow import Binaries, Strings
from headrace.infra.schemas import UNREADABLE
from headrace.spark_jobs.kernels import json_objects as kernel
from headrace.spark_jobs.kernels import lines as line_kernel
from headrace.spark_jobs.kernels.utf8 import Bytes, blank_slices, valid_slices
from headrace.spark_jobs.moments import moments
from headrace.spark_jobs.reading import json_members, json_repair
from headrace.spark_jobs.reading.json_members import Integers, Mask, Objects
from headrace.spark_jobs.settings import FIELDS, Field_, InputSettings

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("id", pa.string()),
    ("text", pa.string()),
    ("source", pa.string()),
    ("position", pa.int64()),
    ("content_hash", pa.string()),
    ("created", pa.timestamp("us", tz="UTC")),
    ("metadata", pa.string()),
    ("repairs", pa.int32()),
]
RECORD = pa.schema(_COLUMNS)
"""A record as it was read; `text` is null where it has none. `repairs` counts the places that were
not as their format wants them and were read all the same (0 in a sound record)."""

LOST = pa.schema([*UNREADABLE, ("bytes", pa.int64())])
"""What could not be read, and how long it was."""


@dataclass(frozen=True)
class Window:
    """What was read at a time: records, and what could not be read."""

    records: pa.Table
    lost: pa.Table


def lost(source: str, items: list[tuple[int, bytes, str, int]]) -> pa.Table:
    """Unreadable records as a table, from (position, head, error, length)."""
    return pa.table(
        {
            "source": pa.array([source] * len(items), pa.string()),
            "position": pa.array([i[0] for i in items], pa.int64()),
            "raw": pa.array([i[1][: line_kernel.HEAD_BYTES] for i in items], pa.binary()),
            "error": pa.array([i[2] for i in items], pa.string()),
            "bytes": pa.array([i[3] for i in items], pa.int64()),
        },
        schema=LOST,
    )


class _Known:
    """The names that the input uses for headrace's fields, each once, and where each field is."""

    def __init__(self, settings: InputSettings) -> None:
        names = {field: settings.fields.get(field, field) for field in FIELDS}
        self.names = tuple(dict.fromkeys(names.values()))
        self.at = {field: self.names.index(name) for field, name in names.items()}
        self.typed = (names["text"], names["id"])


def _member(key: str, raw: Strings) -> Strings:
    """N members of one key without braces; null where `raw`, their JSON values, is."""
    return arrow.join(json.dumps(key, ensure_ascii=False) + ":", raw, "")


def _own_metadata(
    objects: Objects, at: int, repairs: dict[int, Counter[str]]
) -> tuple[Strings, Strings]:
    """(members of the object under `metadata`, the value there that is no object); or null."""
    n = len(objects.rest)
    present = ~objects.has(at, kernel.ABSENT, kernel.NULL)
    if not present.any():
        return pa.nulls(n, pa.string()), pa.nulls(n, pa.string())
    direct = objects.has(at, kernel.OBJECT)
    text: Strings = pc.if_else(pa.array(direct), objects.raw(at, direct), objects.strings(at))
    # A string that holds no object stays what it is, so there is nothing to be repaired in it.
    some = arrow.mask(pc.match_substring_regex(text, r"^[ \t\r\n]*\{").fill_null(False))
    rows = np.flatnonzero(some)
    inner = json_members.read(*json_members.slices(text.filter(some)))
    for k, found in inner.repairs.items():
        repairs[int(rows[k])] = repairs.get(int(rows[k]), Counter()) + found
    wrong = np.zeros(n, np.bool_)
    wrong[rows[list(inner.errors)]] = True
    place = np.full(n, -1)
    place[rows] = np.arange(rows.size)
    held = (place >= 0) & ~wrong
    return inner.rest.take(pa.array(place, pa.int64(), mask=~held)), objects.raw(
        at, present & ~held
    )


def _merged(given: str, record: str, inner: str) -> str:
    """Return the members of a record's metadata, each key once; see the head of this module."""
    groups = [json_repair.members(f"{{{group}}}") for group in (given, record, inner)]
    names = {key for group in groups for key, _ in group}
    taken: set[str] = set()
    out: list[list[str]] = []
    for prefix, group in zip(("", "record.", "metadata."), groups, strict=True):
        out.append([])
        for key, value in group:
            if key in taken:
                while key in names or key in taken:
                    key = prefix + key
            taken.add(key)
            out[-1].append(f"{json.dumps(key, ensure_ascii=False)}:{value}")
    return ",".join(out[1] + out[2] + out[0])


def _joined(parts: list[Strings]) -> tuple[Strings, npt.NDArray[np.int8]]:
    """(N) the parts that are there with commas between them, and how many there are."""
    here = [arrow.mask(p.is_valid()) for p in parts]
    number: npt.NDArray[np.int8] = np.asarray(np.sum(here, axis=0, dtype=np.int8))
    # Arrow leaves a row out where all of its parts are null.
    first = pc.if_else(pa.array(number == 0), "", parts[0])
    return arrow.join(first, *parts[1:], ",", null_handling="skip"), number


def _metadata(record: Strings, inner: Strings, given: list[Strings]) -> Strings:
    """N JSON objects of the members of a record, of its `metadata`, and of headrace."""
    n = len(record)
    nothing = pa.nulls(n, pa.string())
    record = pc.if_else(pc.equal(record, pa.scalar("")), nothing, record)
    inner = pc.if_else(pc.equal(inner, pa.scalar("")), nothing, inner)
    members, number = _joined([record, inner, *given])
    several = number > 1
    if several.any():
        rows = np.flatnonzero(several)
        whole = arrow.join("{", members.filter(pa.array(several)), "}", "")
        odd = rows[~kernel.scan(*json_members.slices(whole)).sound]
        if odd.size:
            ours, _ = _joined([p.take(odd) for p in given])
            columns = [c.to_pylist() for c in (ours, record.take(odd), inner.take(odd))]
            merged = [_merged(*(x or "" for x in row)) for row in zip(*columns, strict=True)]
            mask = np.zeros(n, np.bool_)
            mask[odd] = True
            members = pc.replace_with_mask(members, pa.array(mask), pa.array(merged, pa.string()))
    return arrow.join("{", members, "}", "")


def _sha(strings: Strings) -> Strings:
    """128 bits of the SHA-256 of N strings (null: of nothing) in hexadecimal.

    OpenSSL uses the processor's instructions: a loop around it is faster than any kernel.
    """
    data, start, stop = json_members.slices(strings)
    view, sha = data.data, hashlib.sha256
    cut = zip(start.tolist(), stop.tolist(), strict=True)
    return pa.array([sha(view[a:b]).hexdigest()[:32] for a, b in cut], pa.string())


def _records(
    objects: Objects,
    known: _Known,
    position: Integers,
    source: str,
    text: Strings | None = None,
    repaired: pa.Int32Array | None = None,
) -> pa.Table:
    """RECORD of N objects that could all be read.

    Args:
        objects: the objects.
        known: where their fields are.
        position: (N,) their positions.
        source: their file.
        text: their texts where the objects don't hold them.
        repaired: number of repairs that were made before.
    """
    n = len(position)
    at, absent = known.at, (kernel.ABSENT, kernel.NULL)

    def given(field: Field_, where: Mask | None = None) -> Strings:
        """Return what stands under a field of headrace's own, but where it is used."""
        have = ~objects.has(at[field], *absent)
        return _member(
            f"given_{field}", objects.raw(at[field], have if where is None else have & where)
        )

    repairs = dict(objects.repairs)
    inner, plain = _own_metadata(objects, at["metadata"], repairs)
    text = objects.strings(at["text"]) if text is None else text
    own_id = pc.coalesce(
        objects.strings(at["id"]), objects.raw(at["id"], objects.has(at["id"], kernel.INTEGER))
    )
    no_id = arrow.mask(own_id.is_null())
    is_text = objects.has(at["created"], kernel.STRING, kernel.ESCAPED)
    is_number = objects.has(at["created"], kernel.INTEGER, kernel.NUMBER)
    moment = moments(
        pc.if_else(
            pa.array(is_text), objects.strings(at["created"]), objects.raw(at["created"], is_number)
        ),
        pa.array(is_text),
    )
    number = np.zeros(n, np.int32) if repaired is None else repaired.to_numpy().astype(np.int32)
    names: list[str | None] = [None] * n
    for k, found in repairs.items():
        number[k] += found.total()
        names[k] = json.dumps(json_repair.named(found), ensure_ascii=False)
    metadata = _metadata(
        objects.rest,
        inner,
        [
            given("source"),
            given("lang"),
            given("domain"),
            given("text", arrow.mask(text.is_null())),
            given("id", no_id),
            given("created", arrow.mask(moment.is_null())),
            _member("metadata", plain),
            _member("repairs", pa.array(names, pa.string())),
        ],
    )
    if no_id.any():
        where = [f"{p}:{source}" for p in position[no_id].tolist()]
        own_id = pc.replace_with_mask(own_id, pa.array(no_id), _sha(pa.array(where, pa.string())))
    return pa.table(
        {
            "id": own_id,
            "text": text,
            "source": pa.array([source] * n, pa.string()),
            "position": pa.array(position),
            "content_hash": _sha(arrow.fill_null(text, "")),
            "created": moment,
            "metadata": metadata,
            "repairs": pa.array(number),
        },
        schema=RECORD,
    )


def _window(
    data: Bytes,
    start: Integers,
    stop: Integers,
    position: Integers,
    source: str,
    settings: InputSettings,
) -> Window:
    """Read the JSON objects in N slices of a buffer; blank slices are none."""
    known = _Known(settings)
    valid = valid_slices(data, start, stop)
    size = stop - start
    size = size - ((size > 0) & (data[np.maximum(stop - 1, 0)] == 0x0A))
    short = size <= settings.max_record_bytes
    wanted = ~blank_slices(data, start, stop)
    take = wanted & short
    objects = json_members.read(
        data, start[take], stop[take], known.names, known.typed, valid[take]
    )
    rows = np.flatnonzero(take)
    errors = {int(rows[k]): error for k, error in objects.errors.items()}
    for k in np.flatnonzero(wanted & ~short).tolist():
        errors[k] = f"record of {size[k]} bytes, more than input.max_record_bytes"
    if objects.errors:
        good = np.ones(rows.size, np.bool_)
        good[list(objects.errors)] = False
        objects, rows = objects.filter(good), rows[good]
    bad = [
        (
            int(position[k]),
            data[start[k] : min(stop[k], start[k] + line_kernel.HEAD_BYTES)]
            .tobytes()
            .rstrip(b"\r\n"),
            error,
            int(size[k]),
        )
        for k, error in sorted(errors.items())
    ]
    return Window(_records(objects, known, position[rows], source), lost(source, bad))


def from_json(
    json_texts: Strings | Binaries, position: Integers, source: str, settings: InputSettings
) -> Window:
    """Read N strings or binaries that should be JSON objects with a `text`."""
    return _window(*json_members.slices(json_texts), position, source, settings)


def from_lines(
    block: line_kernel.Block, source: str, settings: InputSettings, skip: int = 0
) -> Window:
    """Read a block of JSON lines; blank lines are no records. `skip` bytes are passed over."""
    starts = line_kernel.line_starts(block.data)
    start, stop = starts[:-1].copy(), starts[1:]
    start[:1] += skip
    position = block.first + np.arange(start.size)
    return _window(np.frombuffer(block.data, np.uint8), start, stop, position, source, settings)


def from_columns(
    text: Strings,
    rest: Strings,
    position: Integers,
    source: str,
    settings: InputSettings,
    repairs: pa.Int32Array | None = None,
    named: Mapping[int, Counter[str]] | None = None,
) -> pa.Table:
    """Return records of N texts and their other fields.

    Args:
        text: the texts, null where there is none.
        rest: the other fields as JSON objects.
        position: where they are in their file.
        source: the file.
        settings: names of the fields.
        repairs: number of repairs (int32) that were made in each before; None: none were.
        named: the same with names, by row; these are named in the metadata.
    """
    known = _Known(settings)
    data, start, stop = json_members.slices(rest)
    objects = json_members.read(data, start, stop, known.names, known.typed)
    if objects.errors:
        # Nothing of a record is lost because its other fields are no JSON that can be read.
        texts = [data[a:b].tobytes() for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
        for k in objects.errors:
            texts[k] = json.dumps({"fields": texts[k].decode("utf-8", "replace")}).encode()
        whole = pa.array(texts, pa.binary())
        objects = json_members.read(*json_members.slices(whole), known.names, known.typed)
    for k, found in (named or {}).items():
        objects.repairs[k] = objects.repairs.get(k, Counter()) + found
    return _records(objects, known, position, source, text, repairs)
