"""The columns that a comparison looks at beside the text: labels, scores, and the length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import norm, rankdata

from headrace.expectations import two_sample
from headrace.expectations.two_sample import Floats, Outcome, Units
from headrace.infra import arrow

CATEGORIES = ("lang", "domain")
LENGTH = "length"
MIX = "lang and domain"
_BINS = 30


@dataclass(frozen=True)
class Distribution:
    """A column on both sides: shares of categories, or of the bins of a number."""

    name: str
    labels: tuple[str, ...]
    """Categories, or lower edges of bins."""
    reference: tuple[float, ...]
    window: tuple[float, ...]


@dataclass(frozen=True)
class Columns:
    """What both sides have, the reference's documents first."""

    categories: dict[str, npt.NDArray[np.object_]]
    """(N,) strings."""
    numbers: dict[str, Floats]
    """(N,) values, nan where a document has none."""

    @classmethod
    def of(cls, reference: pa.Table, window: pa.Table) -> Columns:
        """Return the columns that both sides have: labels, scores (any float), text length."""
        both = set(reference.column_names) & set(window.column_names)
        named = {c: _values(reference, window, c) for c in CATEGORIES if c in both}
        if len(named) == len(CATEGORIES):
            named[MIX] = np.array(
                [f"{a} {b}" for a, b in zip(*named.values(), strict=True)], dtype=object
            )
        scores = [f.name for f in reference.schema if pa.types.is_floating(f.type)]
        numbers = {c: _numbers(reference, window, c) for c in scores if c in both}
        texts = [t["text"].combine_chunks() for t in (reference, window)]
        lengths = np.concatenate([arrow.byte_lengths(t) for t in texts]).astype(np.float64)
        numbers[LENGTH] = np.log10(np.maximum(lengths, 1.0))
        return cls(named, numbers)

    def take(self, rows: npt.NDArray[np.int64]) -> Columns:
        """Return the columns of some documents."""
        return Columns(
            {k: v[rows] for k, v in self.categories.items()},
            {k: v[rows] for k, v in self.numbers.items()},
        )

    def channel(self) -> Floats:
        """(N, c) all columns as numbers of mean 0 and unit variance, each row divided by √c."""
        parts = []
        for name, values in self.categories.items():
            if name != MIX:
                parts += [values == v for v in np.unique(values.astype(str))]
        for value in self.numbers.values():
            known = ~np.isnan(value)
            ranked = np.zeros(len(value))
            if known.any():
                ranked[known] = norm.ppf((rankdata(value[known]) - 0.5) / known.sum())
            parts.append(ranked)
        wide = np.stack(parts, axis=1).astype(np.float64)
        wide -= wide.mean(axis=0)
        spread = wide.std(axis=0)
        scaled: Floats = wide / np.where(spread > 0, spread, 1.0) / np.sqrt(wide.shape[1])
        return scaled

    def tests(self, units: Units) -> tuple[list[Outcome], list[Distribution]]:
        """A test for each column that varies, and what it was made from."""
        outcomes: list[Outcome] = []
        distributions: list[Distribution] = []
        side = units.side
        for name, values in self.categories.items():
            names, codes = np.unique(values.astype(str), return_inverse=True)
            if len(names) > 1:
                outcomes.append(two_sample.categories(name, units, codes.astype(np.int32)))
            distributions.append(_distribution(name, tuple(names), codes, side))
        for name, value in self.numbers.items():
            known = ~np.isnan(value)
            if min(known[side == 0].sum(), known[side == 1].sum()) == 0:
                continue
            low, high = float(value[known].min()), float(value[known].max())
            if low == high:
                continue
            outcomes.append(two_sample.numbers(name, units, value))
            if name != LENGTH:
                low, high = min(low, 0.0), max(high, 1.0)
            edges = np.linspace(low, high, _BINS + 1)
            bins = np.clip(np.searchsorted(edges, value[known], "right") - 1, 0, _BINS - 1)
            shown = tuple(f"{e:.6g}" for e in edges[:-1])
            distributions.append(_distribution(name, shown, bins, side[known]))
        return outcomes, distributions


def _values(reference: pa.Table, window: pa.Table, column: str) -> npt.NDArray[np.object_]:
    return np.array(
        [str(v or "none") for t in (reference, window) for v in t[column].to_pylist()],
        dtype=object,
    )


def _numbers(reference: pa.Table, window: pa.Table, column: str) -> Floats:
    columns = [t[column].combine_chunks().cast(pa.float64()) for t in (reference, window)]
    return np.concatenate([arrow.fill_null(c, float("nan")).to_numpy() for c in columns])


def _distribution(
    name: str, names: Sequence[str], codes: npt.NDArray[np.intp], side: npt.NDArray[np.uint8]
) -> Distribution:
    def shares(which: int) -> tuple[float, ...]:
        counts = np.bincount(codes[side == which], minlength=len(names))
        return tuple(float(x) for x in counts / counts.sum())

    return Distribution(name, tuple(names), shares(0), shares(1))
