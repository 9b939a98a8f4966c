"""Whether a window of documents is drawn from the same mix as the reference.

Two tests on the text itself (nearest neighbours and leading directions of hashed n-gram vectors)
and one a column (shares of languages and domains, distributions of scores and lengths), all from
one set of permutations, so that the p-value is exact. An alert needs both a small p-value and an
effect that matters: docs/drift.md says how both were calibrated and what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from headrace.expectations import two_sample
from headrace.expectations.embedding import embed
from headrace.expectations.settings import DriftSettings as DriftSettings
from headrace.expectations.two_sample import Floats, Outcome
from headrace.infra.errors import ValidationError

CATEGORIES = ("lang", "domain")
SCORES = ("semantic_score", "bias_score", "domain_score")
LENGTH = "length"
MIX = "lang and domain"
NEIGHBOURS, DIRECTIONS = "text.neighbours", "text.directions"
_BINS = 30


@dataclass(frozen=True)
class TestResult:
    """One test of a comparison."""

    name: str
    statistic: float
    p_value: float
    """Family-wise: corrected for the number of tests."""
    effect: float
    """Share of the window that differs at least, beyond what chance gives; 0 to 1."""


@dataclass(frozen=True)
class Distribution:
    """A column on both sides: shares of categories, or of the bins of a number."""

    name: str
    labels: tuple[str, ...]
    """Categories, or lower edges of bins."""
    reference: tuple[float, ...]
    window: tuple[float, ...]


@dataclass(frozen=True)
class Unusual:
    """A document of the window that is unlike the reference."""

    text: str
    lang: str
    domain: str
    neighbours_in_window: float
    """Share of its nearest neighbours that are of the window."""


@dataclass(frozen=True)
class DriftVerdict:
    """The outcome of a comparison, with what a report needs."""

    drift: bool
    p_value: float
    effect: float
    """Largest effect among the drifted tests; where none drifted, that of the smallest p-value."""
    drifted: tuple[str, ...]
    tests: tuple[TestResult, ...]
    reference_documents: int
    window_documents: int
    """Documents that were compared, after sampling."""
    distributions: tuple[Distribution, ...]
    unusual: tuple[Unusual, ...]
    settings: DriftSettings
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON values, without texts."""
        return {
            "drift": self.drift,
            "p_value": self.p_value,
            "effect": self.effect,
            "drifted": list(self.drifted),
            "tests": [asdict(t) for t in self.tests],
            "reference_documents": self.reference_documents,
            "window_documents": self.window_documents,
            "settings": self.settings.model_dump(),
            "seed": self.seed,
        }


def compare(
    reference: pa.Table, window: pa.Table, settings: DriftSettings | None = None, seed: int = 0
) -> DriftVerdict:
    """The verdict on a window of documents against a reference.

    Exact repeats of a text are removed from the window where the reference has (almost) none, as
    a deduplicated corpus has. Columns that one side lacks are not compared.

    Args:
        reference: `text`, and any of lang, domain, semantic_score, bias_score, domain_score.
        window: the same.
        settings: when an alert is raised.
        seed: of the samples and permutations.

    Raises:
        ValidationError: a side with fewer than `minimum_documents` documents.
    """
    # One thread: the same bits everywhere, and threads that wait for each other cost more than
    # they bring where other processes share the cores.
    with threadpool_limits(1):
        return _compare(reference, window, settings or DriftSettings(), seed)


def _compare(
    reference: pa.Table, window: pa.Table, settings: DriftSettings, seed: int
) -> DriftVerdict:
    reference, window = _usable(reference), _usable(window)
    if _repeats(reference) <= 0.01:
        reference, window = _first_of_each(reference), _first_of_each(window)
    for side, table in (("reference", reference), ("window", window)):
        if table.num_rows < settings.minimum_documents:
            raise ValidationError(
                f"the {side} has {table.num_rows} usable documents, "
                f"drift needs {settings.minimum_documents}",
                "give more text",
            )
    reference = _sample(reference, settings.max_reference, seed)
    window = _sample(window, settings.max_window, seed + 1)
    labels = two_sample.permuted_labels(
        reference.num_rows, window.num_rows, settings.permutations, seed
    )
    points = _centred(embed(_text(reference, window), settings.max_bytes, settings.dimensions))
    near = _nearest(points, min(settings.neighbours, len(points) - 1))
    outcomes, distributions = _columns(reference, window, labels)
    outcomes += [
        two_sample.neighbours(NEIGHBOURS, labels, near),
        two_sample.directions(DIRECTIONS, labels, _leading(points, settings.directions)),
    ]
    tests = tuple(
        TestResult(o.name, float(o.statistic[0]), p, o.effect)
        for o, p in zip(outcomes, two_sample.adjusted(outcomes), strict=True)
    )
    drifted = [
        t for t in tests if t.p_value <= settings.alpha and t.effect >= settings.minimum_effect
    ]
    return DriftVerdict(
        drift=bool(drifted),
        p_value=min(t.p_value for t in tests),
        effect=max(t.effect for t in drifted or [min(tests, key=lambda t: t.p_value)]),
        drifted=tuple(t.name for t in drifted),
        tests=tests,
        reference_documents=reference.num_rows,
        window_documents=window.num_rows,
        distributions=tuple(distributions),
        unusual=_unusual(window, labels[0][near[reference.num_rows :]].mean(axis=1)),
        settings=settings,
        seed=seed,
    )


def _usable(table: pa.Table) -> pa.Table:
    """Documents with a text that is not blank."""
    text = table["text"]
    return table.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(text), ""), False))


def _repeats(table: pa.Table) -> float:
    """Share of documents that repeat an earlier one."""
    return 1 - pc.count_distinct(table["text"]).as_py() / max(1, table.num_rows)


def _first_of_each(table: pa.Table) -> pa.Table:
    """Each text once, where it stands first."""
    at = pa.table({"text": table["text"], "at": np.arange(table.num_rows)})
    first = at.group_by("text", use_threads=False).aggregate([("at", "min")])["at_min"]
    return table.take(np.sort(first.to_numpy()))


def _sample(table: pa.Table, limit: int, seed: int) -> pa.Table:
    if table.num_rows <= limit:
        return table
    chosen = np.random.default_rng(seed).choice(table.num_rows, limit, replace=False)
    return table.take(np.sort(chosen))


def _text(reference: pa.Table, window: pa.Table) -> pa.Array:
    chunks = [
        c.cast(pa.large_string()) for t in (reference, window) for c in t["text"].iterchunks()
    ]
    return pa.concat_arrays(chunks)


def _centred(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors about their mean, of unit length, in whole steps of 1/2000.

    Whole numbers make every later product exact in 32-bit floating point (the product of two is at
    most 2000 squared, below 2^24), so that the verdict does not depend on the order of addition.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return np.rint(centred * 2000).astype(np.float32)


def _nearest(points: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int32]:
    """(N, k) the most similar other documents of each; of equal ones the earlier."""
    n = len(points)
    out = np.empty((n, k), np.int32)
    # Similarities are whole numbers, so that a fraction of the index breaks ties.
    later = np.arange(n, dtype=np.float64) / n
    for at in range(0, n, 512):
        similar = (points[at : at + 512] @ points.T).astype(np.float64) - later
        similar[np.arange(len(similar)), np.arange(at, at + len(similar))] = -np.inf
        out[at : at + 512] = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    return out


def _leading(points: npt.NDArray[np.float32], count: int) -> Floats:
    """(N, d) coordinates along the leading directions of all points, each of unit variance."""
    wide = points.astype(np.float64)
    wide -= wide.mean(axis=0)
    n, dimensions = wide.shape
    few = n < dimensions
    # Of few points the matrix of products between points is the smaller one, with the same axes.
    square, axes = np.linalg.eigh(wide @ wide.T if few else wide.T @ wide)
    lead = np.argsort(-square)[: max(1, min(count, n // 4))]
    lead = lead[square[lead] > 1e-6 * max(float(square[lead[0]]), 1e-9)]
    scaled = axes[:, lead] * np.sqrt(n)
    return np.asarray(scaled if few else wide @ scaled / np.sqrt(square[lead]))


def _columns(
    reference: pa.Table, window: pa.Table, labels: two_sample.Labels
) -> tuple[list[Outcome], list[Distribution]]:
    """A test for each column that both sides have and that varies, and what it was made from."""
    outcomes: list[Outcome] = []
    distributions: list[Distribution] = []
    both = set(reference.column_names) & set(window.column_names)
    named = {c: _values(reference, window, c) for c in CATEGORIES if c in both}
    if len(named) == len(CATEGORIES):
        named[MIX] = [f"{a} {b}" for a, b in zip(*named.values(), strict=True)]
    for name, values in named.items():
        names, codes = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
        if len(names) > 1:
            outcomes.append(two_sample.categories(name, labels, codes.astype(np.int32)))
        distributions.append(_distribution(name, tuple(names), codes, labels[0]))
    numbers = {c: _numbers(reference, window, c) for c in SCORES if c in both}
    sizes = pc.binary_length(_text(reference, window)).to_numpy(zero_copy_only=False)
    numbers[LENGTH] = np.log10(np.maximum(sizes, 1.0))
    for name, value in numbers.items():
        known = ~np.isnan(value)
        if min(known[labels[0] == 0].sum(), known[labels[0] == 1].sum()) == 0:
            continue
        low, high = float(value[known].min()), float(value[known].max())
        if low == high:
            continue
        outcomes.append(two_sample.numbers(name, labels, value))
        if name != LENGTH:
            low, high = min(low, 0.0), max(high, 1.0)
        edges = np.linspace(low, high, _BINS + 1)
        bins = np.clip(np.searchsorted(edges, value[known], "right") - 1, 0, _BINS - 1)
        shown = tuple(f"{e:.6g}" for e in edges[:-1])
        distributions.append(_distribution(name, shown, bins, labels[0][known]))
    return outcomes, distributions


def _values(reference: pa.Table, window: pa.Table, column: str) -> list[str]:
    return [str(v or "none") for t in (reference, window) for v in t[column].to_pylist()]


def _numbers(reference: pa.Table, window: pa.Table, column: str) -> Floats:
    parts = [
        pc.fill_null(t[column].cast(pa.float64()), float("nan")).to_numpy()
        for t in (reference, window)
    ]
    return np.concatenate(parts)


def _distribution(
    name: str, names: Sequence[str], codes: npt.NDArray[Any], side: npt.NDArray[np.uint8]
) -> Distribution:
    def shares(which: int) -> tuple[float, ...]:
        counts = np.bincount(codes[side == which], minlength=len(names))
        return tuple(float(x) for x in counts / counts.sum())

    return Distribution(name, tuple(names), shares(0), shares(1))


def _unusual(window: pa.Table, share: Floats, count: int = 10) -> tuple[Unusual, ...]:
    """Documents of the window whose neighbours are of the window, most of them first."""
    out = []
    for i in np.argsort(-share, kind="stable")[:count]:
        row = {
            c: window[c][int(i)].as_py() if c in window.column_names else None
            for c in ("text", "lang", "domain")
        }
        out.append(
            Unusual(
                str(row["text"])[:600],
                str(row["lang"] or ""),
                str(row["domain"] or ""),
                float(share[i]),
            )
        )
    return tuple(out)
