"""Whether a window of documents is drawn from the same mix as the reference.

Two tests on the text itself (nearest neighbors and leading directions of hashed n-gram vectors)
and one per column (shares of languages and domains, distributions of scores and lengths), all from
one set of permutations of documents, or of runs of documents where neighbors depend on each other.
An alert needs both a small p-value and an effect that matters: docs/drift.md says how both were
calibrated and what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from headrace.expectations import drift_tests, two_sample
from headrace.expectations.arrival import Order, reference_order, window_order
from headrace.expectations.columns import Columns
from headrace.expectations.drift_tests import Sides
from headrace.expectations.embedding import embed
from headrace.expectations.losses import Losses, LossRise, loss_test
from headrace.expectations.mixtures import mixed, nearest_shares
from headrace.expectations.points import Points, centered, leading, nearest
from headrace.expectations.settings import DriftSettings
from headrace.expectations.two_sample import Floats, Ints, Outcome
from headrace.expectations.verdict import Comparison, DriftVerdict, TestResult, Unusual
from headrace.infra.arrow import Strings
from headrace.infra.errors import ValidationError

_FEWEST_NEIGHBORS = 3
_ROW = "row"
_WORDING = 64
"""Directions in which the wording of neighbors is compared."""


@dataclass(frozen=True)
class Reference:
    """Text that the champion knows."""

    name: str
    """What it is, for a person."""
    documents: pa.Table
    weight: float = 1.0
    """Tokens of it that the champion was taught, relative to other windows'."""
    heldout: pa.Table | None = None
    """The champion's loss on held-out documents of it; see `Losses`."""


def judge(
    corpus: Reference,
    window: pa.Table,
    taught: Sequence[Reference] = (),
    losses: pa.Table | None = None,
    settings: DriftSettings | None = None,
    seed: int = 0,
    without_loss: str | None = None,
    original: pa.Table | None = None,
) -> DriftVerdict:
    """Judge a window against all that the champion knows.

    A lasting shift stays a small share of the corpus however often it is learned. So the window is
    also compared with the windows that the champion was taught last, and, where it differs from
    both, with the mixture of corpus and taught windows that is nearest to it: a share of new text
    between theirs is nothing new.

    Args:
        corpus: the reference.
        window: see `compare`.
        taught: windows that the champion was taught last.
        losses: the champion's loss on documents of the window; see `Losses`.
        settings: when an alert is raised.
        seed: of the samples and permutations.
        without_loss: why there are no losses.
        original: the corpus before any retraining. It shows which part of a window is ordinary
            where both references hold a shift that this part lacks.

    Raises:
        ValidationError: see `compare`.
    """
    settings = settings or DriftSettings()
    heldout = [corpus.heldout, *(t.heldout for t in taught)]
    tables = [corpus.documents, *(t.documents for t in taught)]
    pairs = [_pair(corpus.name, corpus.documents, window, settings, seed, heldout[:1])]
    if sum(t.num_rows for t in tables[1:]) >= settings.minimum_documents:
        recent = mixed(tables[1:], [t.weight for t in taught], settings.max_reference, seed)
        name = "what the champion was taught last"
        pairs.append(_pair(name, recent, window, settings, seed, heldout[1:]))
    with threadpool_limits(1):
        # What a window is made of doesn't depend on what it is compared with.
        order = min((p.order(seed) for p in pairs), key=lambda o: o.run)
    if order.run > 1 and original is not None and original.num_rows >= settings.minimum_documents:
        pair = _pair("the original corpus", original, window, settings, seed, ())
        with threadpool_limits(1):
            order = min(order, pair.order(seed), key=lambda o: o.run)
    with threadpool_limits(1):
        comparisons = [_tested(p, order, losses, settings, seed) for p in pairs]
    if len(pairs) > 1 and all(c.drift for c in comparisons):
        shares = nearest_shares(tables, window, settings.max_bytes, settings.dimensions, seed)
        # At either end the mixture is what was compared already.
        if shares[0] < 1 and (shares[0] > 0 or len(taught) > 1):
            nearest_mix = mixed(tables, shares, settings.max_reference, seed)
            if nearest_mix.num_rows >= settings.minimum_documents:
                name = f"the nearest mixture, {shares[0]:.0%} corpus and {1 - shares[0]:.0%} taught"
                pair = _pair(name, nearest_mix, window, settings, seed, heldout)
                with threadpool_limits(1):
                    comparisons.append(_tested(pair, order, losses, settings, seed))
    return DriftVerdict(tuple(comparisons), without_loss)


def sampled(window: pa.Table, settings: DriftSettings, seed: int) -> pa.Table:
    """Sample the documents of a window that `judge` compares with a corpus without repeats."""
    return _sample(_first_of_each(_usable(window)), settings.max_window, seed + 1)


def compare(
    reference: pa.Table, window: pa.Table, settings: DriftSettings | None = None, seed: int = 0
) -> Comparison:
    """Compare a window of documents with one reference, by its text and columns.

    Exact repeats of a text are removed from the window where the reference has (almost) none, as
    a deduplicated corpus has. Columns that one side lacks are not compared.

    Args:
        reference: `text`, any of lang, domain, given_source, created, and scores (every column of
            floats), in the order in which the documents were read.
        window: the same.
        settings: when an alert is raised.
        seed: of the samples and permutations.

    Raises:
        ValidationError: a side with fewer than `minimum_documents` documents.
    """
    only = Reference("the reference", reference)
    return judge(only, window, settings=settings, seed=seed).comparisons[0]


@dataclass(frozen=True)
class _Pair:
    """A window and a reference, ready to be compared."""

    name: str
    reference: pa.Table
    window: pa.Table
    """With `row`: where a document stands in the table that was given."""
    heldout: pa.Table | None
    points: Points
    """The texts; the reference's come first here and in the next two."""
    leading: Floats
    columns: Columns
    channels: list[Floats]

    def order(self, seed: int) -> Order:
        """Order and runs of the window as this reference shows them."""
        return window_order(self.reference, self.window, self.channels, seed)


def _pair(
    name: str,
    reference: pa.Table,
    window: pa.Table,
    settings: DriftSettings,
    seed: int,
    heldout: Sequence[pa.Table | None],
) -> _Pair:
    window = window.append_column(_ROW, pa.array(np.arange(window.num_rows)))
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
    known = [h for h in heldout if h is not None and h.num_rows]
    # One thread: the same bits everywhere, and threads that wait for each other cost more than
    # they bring where other processes share the cores.
    with threadpool_limits(1):
        points = centered(embed(_text(reference, window), settings.max_bytes, settings.dimensions))
        lead, deviations = leading(points, max(settings.directions, _WORDING))
        columns = Columns.of(reference, window)
        first = lead[:, : settings.directions]
        channels = [lead * deviations, first / np.sqrt(first.shape[1]), columns.channel()]
    return _Pair(
        name,
        reference,
        window,
        pa.concat_tables(known) if known else None,
        points,
        first,
        columns,
        channels,
    )


def _tested(
    pair: _Pair, order: Order, losses: pa.Table | None, settings: DriftSettings, seed: int
) -> Comparison:
    count = pair.reference.num_rows
    reference_at = reference_order(
        pair.reference, order.by, order.run, [c[:count] for c in pair.channels], seed
    )
    rows = np.concatenate([reference_at.rows, count + order.rows])
    window = pair.window.take(order.rows)
    window_units = two_sample.blocks(window.num_rows, order.run)
    units = two_sample.units_of(
        two_sample.blocks(count, reference_at.run), window_units, settings.permutations, seed
    )
    counts = [int((units.labels[0] == side).sum()) for side in (0, 1)]
    # A tenth of the window: the smaller it is, the fewer of a new topic's documents there are.
    k = min(settings.neighbours, max(_FEWEST_NEIGHBORS, counts[1] // 10))
    near = nearest(pair.points[rows], units, (reference_at.run, order.run), k, seed)
    loss, rise = _loss(pair, window, window_units, losses, settings, seed) or (None, None)
    reference = pair.reference.take(reference_at.rows)
    sides = Sides(units, reference, window, near, pair.leading[rows], loss)
    outcomes, distributions = pair.columns.take(rows).tests(units)
    outcomes += drift_tests.outcomes(sides)
    tests = tuple(
        TestResult(
            o.name,
            float(o.statistic[0]),
            p,
            o.effect,
            p <= settings.alpha and o.effect >= drift_tests.least_effect(o.name, settings),
        )
        for o, p in zip(outcomes, two_sample.adjusted(outcomes), strict=True)
    )
    in_bits = drift_tests.names("bits per byte")
    shares = [t for t in tests if t.name not in in_bits]
    beyond = [t for t in shares if t.drifted] or [min(shares, key=lambda t: t.p_value)]
    return Comparison(
        reference=pair.name,
        p_value=min(t.p_value for t in tests),
        effect=max(t.effect for t in beyond),
        tests=tests,
        loss=rise,
        reference_documents=count,
        window_documents=window.num_rows,
        order=order.by,
        window_run=order.run,
        reference_units=counts[0],
        window_units=counts[1],
        least_p=max(1 / (settings.permutations + 1), 1 / comb(sum(counts), counts[1])),
        distributions=tuple(distributions),
        unusual=_unusual(window, units.side[near[count:]].mean(axis=1)),
        settings=settings,
        seed=seed,
    )


def _loss(
    pair: _Pair,
    window: pa.Table,
    window_units: Ints,
    losses: pa.Table | None,
    settings: DriftSettings,
    seed: int,
) -> tuple[Outcome, LossRise] | None:
    """Test the champion's loss; None where no document of the window has one."""
    if losses is None or pair.heldout is None:
        return None
    at = pc.index_in(losses["row"].combine_chunks(), window[_ROW].combine_chunks())
    scored = losses.filter(at.is_valid())
    if not scored.num_rows:
        return None
    units = window_units[at.drop_null().to_numpy()]
    return loss_test(Losses(pair.heldout, scored), units, settings.permutations, seed)


def _usable(table: pa.Table) -> pa.Table:
    """Documents with a text that is not blank."""
    text = pc.utf8_trim_whitespace(table["text"])
    return table.filter(pc.not_equal(text, pa.scalar("")))


def _repeats(table: pa.Table) -> float:
    """Share of documents that repeat an earlier one."""
    return 1 - pc.count_distinct(table["text"]).as_py() / max(1, table.num_rows)


def _first_of_each(table: pa.Table) -> pa.Table:
    """Each text once, where it stands first."""
    at = table.select(["text"]).append_column("at", pa.array(np.arange(table.num_rows)))
    first = at.group_by("text", use_threads=False).aggregate([("at", "min")])["at_min"]
    return table.take(np.sort(first.to_numpy()))


def _sample(table: pa.Table, limit: int, seed: int) -> pa.Table:
    if table.num_rows <= limit:
        return table
    chosen = np.random.default_rng(seed).choice(table.num_rows, limit, replace=False)
    return table.take(np.sort(chosen))


def _text(reference: pa.Table, window: pa.Table) -> Strings:
    chunks = [
        c.cast(pa.large_string()) for t in (reference, window) for c in t["text"].iterchunks()
    ]
    return pa.concat_arrays(chunks)


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
