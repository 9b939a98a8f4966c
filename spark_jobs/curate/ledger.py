"""The ledger of a release: what became of the records of each source, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa

from headrace.infra.releases import Totals
from headrace.infra.schemas import LEDGER
from headrace.spark_jobs.levels import PLACES


class Key(NamedTuple):
    """What a line of the ledger counts."""

    source: str
    outcome: str
    """kept, rejected or unreadable."""
    level: str
    """Empty unless rejected, as is `reason`."""
    reason: str
    lang: str


class Line(NamedTuple):
    """A line of the ledger: the five fields of its `Key`, and its counts."""

    source: str
    outcome: str
    level: str
    reason: str
    lang: str
    records: int
    bytes: int
    repaired: int


class Ledger:
    """Counts by key, which add up."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._records: Counter[Key] = Counter()
        self._bytes: Counter[Key] = Counter()
        self._repaired: Counter[Key] = Counter()
        for line in lines:
            self.add(Key(*line[:5]), line.records, line.bytes, line.repaired)

    def add(self, key: Key, records: int, size: int, repaired: int = 0) -> None:
        """Count records, their bytes of text, and how many of them were repaired."""
        self._records[key] += records
        self._bytes[key] += size
        self._repaired[key] += repaired

    def lines(self) -> list[Line]:
        """All lines, in the order of their keys."""
        return [
            Line(*key, n, self._bytes[key], self._repaired[key])
            for key, n in sorted(self._records.items())
        ]


def table(lines: Sequence[Line]) -> pa.Table:
    """Return the lines as the Parquet file has them."""
    columns: list[list[str | int]] = [list(column) for column in zip(*lines, strict=True)]
    arrays = []
    for field, values in zip(LEDGER, columns or [[] for _ in LEDGER], strict=True):
        empty = field.name in ("level", "reason")
        arrays.append(pa.array([None if empty and v == "" else v for v in values], field.type))
    return pa.Table.from_arrays(arrays, schema=LEDGER)


def totals(lines: Iterable[Line]) -> Totals:
    """Return the totals of a release.

    Raises:
        ValueError: a record was rejected where none can be: a level isn't one of `LEVELS`.
    """
    outcome: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    repaired = 0
    for line in lines:
        outcome[line.outcome] += line.records
        repaired += line.repaired
        if line.outcome == "rejected":
            rejected[line.level] += line.records
    if unknown := {*rejected} - {*PLACES}:
        raise ValueError(f"{min(unknown)} rejects records but isn't one of LEVELS")
    return {
        "read": outcome.total(),
        "kept": outcome["kept"],
        "rejected": {place: rejected[place] for place in PLACES if rejected[place]},
        "unreadable": outcome["unreadable"],
        "repaired": repaired,
    }
