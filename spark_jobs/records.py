"""From raw lines and columns to records: fields by name, everything else into `metadata`.

JSON is parsed by DuckDB over whole Arrow columns; there is no loop over records.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra.schemas import UNREADABLE
from headrace.spark_jobs.kernels import lines as line_kernel
from headrace.spark_jobs.kernels.utf8 import blank_slices, valid_slices
from headrace.spark_jobs.settings import FIELDS, InputSettings

RECORD = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("position", pa.int64()),
        ("content_hash", pa.string()),
        ("created", pa.timestamp("us", tz="UTC")),
        ("metadata", pa.string()),
        ("repairs", pa.int32()),
    ]
)
"""A record as it was read; `text` is null where it has none, `repairs` is how many places of it had
to be read otherwise than they stand."""

LOST = pa.schema([*UNREADABLE, ("bytes", pa.int64())])
"""What could not be read, and how long it was."""

_DATES = ("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日", "%d %B %Y", "%B %d, %Y", "%Y-%m", "%Y")
_local = threading.local()


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


def _connection() -> Any:
    if not hasattr(_local, "connection"):
        import duckdb

        _local.connection = duckdb.connect()
        _local.connection.execute("SET threads = 1")
        _local.connection.execute("SET TimeZone = 'UTC'")
    return _local.connection


def query(sql: str, **tables: pa.Table) -> pa.Table:
    """The answer of a DuckDB query over Arrow tables, in the order of their rows."""
    con = _connection()
    for name, table in tables.items():
        con.register(name, table)
    try:
        answer: pa.Table = con.sql(sql).to_arrow_table()
        return answer
    finally:
        for name in tables:
            con.unregister(name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _pointer(name: str) -> str:
    """A field's name as a JSON pointer in an SQL literal."""
    return _literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _select(settings: InputSettings, text: str) -> str:
    """The query that makes records of `rows` (position, json, source and, for columns, text).

    Every JSON text is parsed once for all known fields; only where there are others is it
    parsed again, to take the known ones away.
    """
    names = {f: settings.fields.get(f, f) for f in FIELDS}
    pointers = ", ".join(_pointer(name) for name in names.values())
    keys = ", ".join(_literal(name) for name in names.values())
    known = _literal(json.dumps(dict.fromkeys(names.values()), ensure_ascii=False))
    number = "TRY_CAST(created->>'$' AS DOUBLE)"
    dates = ", ".join(map(_literal, _DATES))
    fields = ", ".join(
        f"v[{k}] AS {f}" for k, f in enumerate(FIELDS, 1) if f not in ("text", "source")
    )
    return f"""
    WITH parsed AS (
      SELECT *, json_extract(json, [{pointers}]) AS v,
        CASE WHEN list_has_all([{keys}], json_keys(json)) THEN '{{}}'::JSON
             ELSE json_merge_patch(json, {known}) END AS rest
      FROM rows),
    named AS (
      SELECT position, source AS file, rest, v[1] AS text_json, v[3] AS source,
        {text} AS usable, {fields} FROM parsed),
    valued AS (
      SELECT *,
        CASE WHEN json_type(id) IN ('VARCHAR', 'UBIGINT', 'BIGINT') THEN id->>'$' END AS own_id,
        CASE WHEN json_type(created) = 'VARCHAR' AND regexp_matches(created->>'$', '[0-9]')
             THEN coalesce(
               make_timestamp(epoch_us(TRY_CAST(created->>'$' AS TIMESTAMPTZ))),
               try_strptime(trim(created->>'$'), [{dates}]))
             WHEN json_type(created) IN ('UBIGINT', 'BIGINT', 'DOUBLE') THEN
               CASE WHEN {number} BETWEEN 1000 AND 2999
                      THEN make_timestamp({number}::BIGINT, 1, 1, 0, 0, 0)
                    WHEN {number} BETWEEN 1e8 AND 1e11
                      THEN make_timestamp(({number} * 1e6)::BIGINT)
                    WHEN {number} BETWEEN 1e11 AND 1e14
                      THEN make_timestamp(({number} * 1e3)::BIGINT) END END AS any_moment,
        CASE WHEN any_moment BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31'
             THEN any_moment END AS moment,
        CASE WHEN json_type(metadata) = 'OBJECT' THEN metadata
             WHEN json_type(metadata) = 'VARCHAR' AND json_valid(metadata->>'$') THEN
               CASE WHEN json_type(metadata->>'$') = 'OBJECT' THEN (metadata->>'$')::JSON
                    ELSE json_object('metadata', metadata) END
             WHEN json_type(metadata) <> 'NULL' THEN json_object('metadata', metadata)
             ELSE '{{}}'::JSON END AS own
      FROM named)
    SELECT coalesce(own_id, left(sha256(position || ':' || file), 32)) AS id,
      usable AS text, file AS source, position,
      left(sha256(coalesce(usable, '')), 32) AS content_hash, moment AS created,
      json_merge_patch(rest, own, json_object(
        'given_source', source, 'given_lang', lang, 'given_domain', domain,
        'given_text', CASE WHEN usable IS NULL THEN text_json END,
        'given_id', CASE WHEN own_id IS NULL THEN id END,
        'given_created', CASE WHEN moment IS NULL THEN created END))::VARCHAR AS metadata
    FROM valued ORDER BY position"""


def _finish(table: pa.Table, repairs: pa.Array | None = None) -> pa.Table:
    if repairs is None:
        repairs = pa.array(np.zeros(table.num_rows, np.int32))
    table = table.append_column("repairs", repairs)
    created = pc.assume_timezone(table["created"].cast(pa.timestamp("us")), "UTC")
    table = table.set_column(table.schema.get_field_index("created"), "created", created)
    return table.select(RECORD.names).cast(RECORD).combine_chunks()


def from_json(
    json_texts: pa.Array, position: npt.NDArray[np.int64], source: str, settings: InputSettings
) -> Window:
    """Records of N strings that should be JSON objects with a `text`."""
    rows = pa.table(
        {
            "position": position,
            "json": json_texts,
            "source": pa.array([source] * len(position), pa.string()),
        }
    )
    kinds = query(
        "SELECT CASE WHEN json_valid(json) THEN json_type(json) END AS kind FROM rows", rows=rows
    )["kind"].combine_chunks()
    good = pc.fill_null(pc.equal(kinds, "OBJECT"), False)
    bad: list[tuple[int, bytes, str, int]] = []
    if not pc.all(good).as_py():
        wrong = pc.invert(good)
        for at, raw, kind in zip(
            position[wrong.to_numpy(zero_copy_only=False)].tolist(),
            json_texts.filter(wrong),
            kinds.filter(wrong).to_pylist(),
            strict=True,
        ):
            text = raw.as_buffer().to_pybytes().rstrip(b"\r\n")
            error = f"a JSON {kind.lower()}, not an object" if kind else "not valid JSON"
            bad.append((at, text, error, len(text)))
        rows = rows.filter(good)
    text = "CASE WHEN json_type(v[1]) = 'VARCHAR' THEN v[1]->>'$' END"
    return Window(_finish(query(_select(settings, text), rows=rows)), lost(source, bad))


def from_columns(
    text: pa.Array,
    rest: pa.Array,
    position: npt.NDArray[np.int64],
    source: str,
    settings: InputSettings,
    repairs: pa.Array | None = None,
) -> pa.Table:
    """Records of N texts (null where there is none) and their other fields as JSON objects.

    Positions ascend; `repairs` counts the repaired places of each text, none where it isn't given.
    """
    rows = pa.table(
        {
            "position": position,
            "text": text,
            "json": rest,
            "source": pa.array([source] * len(position), pa.string()),
        }
    )
    return _finish(query(_select(settings, "text"), rows=rows), repairs)


def from_lines(
    block: line_kernel.Block, source: str, settings: InputSettings, skip: int = 0
) -> Window:
    """Records of a block of JSON lines; blank lines are none. `skip` bytes are passed over."""
    starts = line_kernel.line_starts(block.data)
    begin, end = starts[:-1].copy(), starts[1:]
    begin[:1] += skip
    data = np.frombuffer(block.data, np.uint8)
    position = block.first + np.arange(begin.size)
    wanted = ~blank_slices(data, begin, end)
    size = end - begin - (data[end - 1] == 0x0A) if begin.size else end - begin
    valid = valid_slices(data, begin, end)
    short = size <= settings.max_record_bytes
    bad = [
        (
            int(position[k]),
            block.data[begin[k] : end[k]][: line_kernel.HEAD_BYTES].rstrip(b"\r\n"),
            f"record of {size[k]} bytes, more than input.max_record_bytes"
            if not short[k]
            else "not UTF-8",
            int(size[k]),
        )
        for k in np.flatnonzero(wanted & ~(valid & short))
    ]
    whole = np.append(begin[:1], end).astype(np.int32)
    strings = pa.StringArray.from_buffers(begin.size, pa.py_buffer(whole), pa.py_buffer(block.data))
    take = wanted & valid & short
    window = from_json(strings.filter(pa.array(take)), position[take], source, settings)
    if not bad:
        return window
    both = pa.concat_tables([window.lost, lost(source, bad)])
    return Window(window.records, both.sort_by("position").combine_chunks())
