"""The order in which documents came, as far as it shows which of them belong together.

A file's own order is one; but a crawl mixes pages of many sites in one file, and a batch of
articles is not always sorted by day. So up to three orders are tried, and the one in which
neighbors are most alike is taken: as read, by the source that records name themselves, by day. A
source that both sides have is a part of the mix, not a run, and stays as it was read.

A window may also be ordered by source without being made of runs: what is ordinary first, then the
first delivery of something new. That is what a drift test has to see. So where half of the window
or more, in a row, shows no runs and is like text that the champion knows, the window is taken
document by document, as that part of it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import two_sample
from headrace.expectations.points import Rows
from headrace.expectations.runs import run_length
from headrace.expectations.two_sample import Floats
from headrace.infra import arrow

GROUP, CREATED = "given_source", "created"
"""Columns that say what belongs together, where a table has them."""
ORDINARY = 0.5
"""Smallest share of a window, in a row, that may show what the window is made of."""
PARTS = 20
"""Parts of a window, of which such a stretch is made."""
_LIKE = 0.01
"""The p-value from which a stretch counts as like the reference."""
_PERMUTATIONS = 199


@dataclass(frozen=True)
class Order:
    """An order of the documents of one table, and how long the runs in it are."""

    by: str
    """position, source or day."""
    rows: Rows
    run: float = 1.0
    """Documents of a run, 1 where each stands for itself."""


def window_order(
    reference: pa.Table, window: pa.Table, channels: Sequence[Floats], seed: int
) -> Order:
    """Return the order in which the window's neighbors are most alike, and its runs.

    Args:
        reference: text that the champion knows, in the order in which it was read.
        window: the same; `given_source` and `created` are used where they are there.
        channels: see `runs.run_length`; rows of the reference first.
        seed: of the shuffled orders.
    """
    first = reference.num_rows
    natural = np.arange(first)
    best = Order("position", np.arange(window.num_rows))
    for order in _orders(window, reference):
        length = _run([c[np.r_[natural, first + order.rows]] for c in channels], first, seed)
        if length > best.run:
            best = replace(order, run=length)
    return best


def reference_order(
    reference: pa.Table, by: str, most: float, channels: Sequence[Floats], seed: int
) -> Order:
    """Return the same order of a reference, with runs no longer than the window's.

    The reference stands for the mix: a whole source in a row is no reason to take it for one
    document.

    Args:
        reference: in the order in which it was read.
        by: of the window's order.
        most: length of the window's runs.
        channels: of the reference's documents.
        seed: of the shuffled orders.
    """
    natural = Order(by, np.arange(reference.num_rows))
    order = next((o for o in _orders(reference, None) if o.by == by), natural)
    if most == 1.0:
        return order
    return replace(order, run=run_length([c[order.rows] for c in channels], seed, most))


def _run(channels: Sequence[Floats], first: int, seed: int) -> float:
    """Length of the window's runs; its documents stand behind the `first` of the reference."""
    own = [c[first:] for c in channels]
    whole = run_length(own, seed)
    if whole == 1.0:
        return 1.0
    best = whole
    for rows in _likest(channels, first):
        length = run_length([c[rows] for c in own], seed)
        if length < best and _like(channels, first, rows, length, seed):
            best = length
        if best == 1.0:
            break
    return best


def _likest(channels: Sequence[Floats], first: int) -> list[Rows]:
    """Return long stretches of the window whose means are nearest to the reference's.

    Of several lengths, from half of the window, one each; and the halves that start at each
    quarter. Several, for the nearest can have a few documents of the new text in it by chance. The
    order is taken as a circle, so that what is left out may stand at both ends.
    """
    cut = np.array_split(np.arange(len(channels[0]) - first), PARTS)
    sizes = np.cumsum([0, *map(len, cut), *map(len, cut)])
    apart = np.zeros((PARTS, PARTS + 1))
    lengths = range(int(np.ceil(ORDINARY * PARTS)), PARTS, 2)
    for channel in channels:
        sums = [channel[first:][rows].sum(axis=0) for rows in cut]
        up_to = np.cumsum([np.zeros(channel.shape[1]), *sums, *sums], axis=0)
        mean, spread = channel[:first].mean(axis=0), float(channel[:first].var(axis=0).sum())
        for length in lengths:
            for start in range(PARTS):
                n = sizes[start + length] - sizes[start]
                gap = (up_to[start + length] - up_to[start]) / n - mean
                # 1 on average where the documents are drawn like the reference.
                apart[start, length] += n * float(gap @ gap) / max(spread, 1e-12)
    starts = [(int(np.argmin(apart[:, length])), length) for length in lengths]
    starts += [(start, lengths[0]) for start in range(0, PARTS, PARTS // 4)]
    return [
        np.concatenate([cut[i % PARTS] for i in range(start, start + length)])
        for start, length in starts
    ]


def _like(channels: Sequence[Floats], first: int, rows: Rows, run: float, seed: int) -> bool:
    """Whether some documents of the window don't differ from the reference in any channel."""
    units = two_sample.units_of(
        two_sample.blocks(first, 1.0), two_sample.blocks(len(rows), run), _PERMUTATIONS, seed
    )
    both = np.concatenate([np.arange(first), first + rows])
    outcomes = [two_sample.directions(str(i), units, c[both]) for i, c in enumerate(channels)]
    return min(two_sample.adjusted(outcomes)) > _LIKE


def _orders(table: pa.Table, other: pa.Table | None) -> list[Order]:
    """Return the orders that a table's columns give; groups that `other` has too are none."""
    out = [Order("position", np.arange(table.num_rows))]
    if GROUP in table.column_names and table[GROUP].null_count < table.num_rows:
        shared = other[GROUP] if other is not None and GROUP in other.column_names else None
        groups = _groups(table[GROUP], shared)
        if len(np.unique(groups)) > 1:
            out.append(Order("source", np.argsort(groups, kind="stable")))
    if CREATED in table.column_names and table[CREATED].null_count < table.num_rows:
        days = pc.floor_temporal(table[CREATED].combine_chunks(), unit="day")
        out.append(Order("day", np.argsort(arrow.integers(days), kind="stable")))
    return out


def _groups(values: pa.ChunkedArray[Any], shared: pa.ChunkedArray[Any] | None) -> Rows:
    """Row of the first of each document's group, its own where it has no group."""
    at = np.arange(len(values))
    alone = pc.is_null(values)
    if shared is not None:
        alone = pc.or_(alone, pc.is_in(values, pc.unique(shared).drop_null()))
    code = arrow.integers(values.combine_chunks().dictionary_encode().indices, null=-1)
    _, place, inverse = np.unique(code, return_index=True, return_inverse=True)
    return np.where(alone.to_numpy(), at, place[inverse])
