"""Mixtures of what the champion knows: in given shares, or those that are nearest to a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.optimize import nnls

from headrace.expectations.embedding import embed
from headrace.expectations.points import centered

_LOOKED_AT = 1000
"""Documents of each part from which shares are estimated."""
_LEAST = 0.02
"""Shares below this are left out: a part of a few documents is no reference."""
_NONE = 1e-12
"""A share of no document in any table."""


def mixed(parts: Sequence[pa.Table], shares: Sequence[float], most: int, seed: int) -> pa.Table:
    """As many documents as the shares allow, at most `most`, part by part in their order.

    Args:
        parts: tables; the columns that all of them have are kept.
        shares: of each part in the mixture, in any unit.
        most: upper bound on the number of rows.
        seed: of the samples.
    """
    total = sum(s for s, p in zip(shares, parts, strict=True) if p.num_rows)
    known = [(p, s / total) for p, s in zip(parts, shares, strict=True) if p.num_rows]
    used = [(p, s) for p, s in known if s > _NONE]
    rows = min(most, *(p.num_rows / s for p, s in used))
    draw = np.random.default_rng(seed)
    columns = [c for c in used[0][0].column_names if all(c in p.column_names for p, _ in used)]
    taken = []
    for part, share in used:
        count = min(part.num_rows, int(rows * share + 1e-9))
        chosen = np.sort(draw.choice(part.num_rows, count, replace=False))
        taken.append(part.select(columns).take(chosen))
    return pa.concat_tables(taken)


def nearest_shares(
    parts: Sequence[pa.Table], window: pa.Table, max_bytes: int, dimensions: int, seed: int
) -> list[float]:
    """Shares, which add up to 1, of the mixture whose mean text is nearest to the window's.

    Non-negative least squares on the means of the text vectors (embedding.py).
    """
    draw = np.random.default_rng(seed)
    texts = []
    for table in [*parts, window]:
        count = min(table.num_rows, _LOOKED_AT)
        rows = np.sort(draw.choice(table.num_rows, count, replace=False))
        texts.append(table["text"].combine_chunks().take(rows).cast(pa.large_string()))
    points = centered(embed(pa.concat_arrays(texts), max_bytes, dimensions)).astype(np.float64)
    ends = np.cumsum([len(t) for t in texts])[:-1]
    means = np.stack([p.mean(axis=0) for p in np.split(points, ends)])
    # A heavy last equation makes the shares add up to 1.
    heavy = 1e3 * float(np.abs(means).max() + 1e-9)
    system = np.vstack([means[:-1].T, np.full(len(parts), heavy)])
    shares, _ = nnls(system, np.r_[means[-1], heavy])
    shares = np.where(shares < _LEAST, 0.0, shares)
    return [float(s) for s in shares / shares.sum()]
