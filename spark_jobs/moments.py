"""Points in time from what a record says in its `created`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra.arrow import Strings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TYPE = pa.timestamp("us", tz="UTC")
_DATES = ("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日", "%d %B %Y", "%B %d, %Y", "%Y-%m", "%Y")
_NUMBER = "TRY_CAST(value AS DOUBLE)"
_QUERY = f"""
    WITH found AS (
      SELECT place, CASE
        WHEN is_text AND regexp_matches(value, '[0-9]') THEN coalesce(
          make_timestamp(epoch_us(TRY_CAST(value AS TIMESTAMPTZ))),
          try_strptime(trim(value), [{", ".join(f"'{d}'" for d in _DATES)}]))
        WHEN is_text THEN NULL
        WHEN {_NUMBER} BETWEEN 1000 AND 2999
          THEN make_timestamp({_NUMBER}::BIGINT, 1, 1, 0, 0, 0)
        WHEN {_NUMBER} BETWEEN 1e8 AND 1e11 THEN make_timestamp(({_NUMBER} * 1e6)::BIGINT)
        WHEN {_NUMBER} BETWEEN 1e11 AND 1e14 THEN make_timestamp(({_NUMBER} * 1e3)::BIGINT)
      END AS moment
      FROM given)
    SELECT CASE WHEN year(moment) BETWEEN 1 AND 9999 THEN moment END AS moment
    FROM found ORDER BY place"""  # nosec B608 # the constants above
"""Over a table `given` (place, value, is_text): nothing of the input stands in the query itself."""
_local = threading.local()


def _connection() -> DuckDBPyConnection:
    if not hasattr(_local, "connection"):
        import duckdb

        _local.connection = duckdb.connect()
        _local.connection.execute("SET threads = 1")
        _local.connection.execute("SET TimeZone = 'UTC'")
    connection: DuckDBPyConnection = _local.connection
    return connection


def moments(value: Strings, is_text: pa.Array[Any]) -> pa.Array[Any]:
    """Return the points in time (TYPE) that N values name, null where they name none.

    Args:
        value: strings, null where there is none: dates of many forms, or numbers, which are years
            or seconds or milliseconds since 1970.
        is_text: (N,) whether a value was written as text; only then it may be a date.
    """
    if value.null_count == len(value):
        return pa.nulls(len(value), TYPE)
    con = _connection()
    place = pa.array(np.arange(len(value)))
    con.register("given", pa.table({"place": place, "value": value, "is_text": is_text}))
    try:
        found = con.sql(_QUERY).to_arrow_table()["moment"]
    finally:
        con.unregister("given")
    naive: Any = found.cast(pa.timestamp("us")).combine_chunks()
    named: pa.Array[Any] = pc.assume_timezone(naive, "UTC")
    return named
