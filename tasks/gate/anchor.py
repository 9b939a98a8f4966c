"""The anchor: the best version ever approved, against which losses of old text add up.

A round is held against the champion of the day, and each may lose a little. Held against the best
of all versions that were promoted by a gate or a person, and not taken back since, the small losses
of many rounds are one loss. Best is who spends the fewest bits per byte on the round's old text.

A version's scores are kept by document, so that it reads each document once:

    HOME/runs/scores-<hash>/documents.parquet    id, nats, bytes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import artifacts, console, storage
from headrace.infra.artifacts import Inputs
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.registry.versions import Registry, Version
from headrace.tasks.gate.comparison import OLD, Comparison, Metric, Pair
from headrace.tasks.gate.evaluation import heldout_documents
from headrace.tasks.mlflow_log import registry
from headrace.tasks.model_refs import run_ref
from headrace.training.scoring import evaluate as scoring
from headrace.training.scoring import gate
from headrace.training.scoring.gate import Sample

KNOWN = 0.5
"""Share of the documents on which a version's kept scores are enough to rank it."""


def _compare(comparison: Comparison) -> Pair | None:
    """Old text under the challenger and under the anchor."""
    champion, challenger = (
        side.sample(OLD) for side in (comparison.champion, comparison.challenger)
    )
    settings = comparison.anchored
    if settings is None or champion is None or challenger is None:
        return None
    known = {
        side.version: sample
        for side, sample in (
            (comparison.champion, champion),
            (comparison.challenger, challenger),
        )
        if side.version
    }
    anchor = find_anchor(
        comparison.champion.name,
        champion,
        lambda: scoring.sample(heldout_documents(list(comparison.corpus)), settings),
        registry(comparison.shared.model.name),
        known,
    )
    return Pair(anchor.sample, challenger, anchor.name, anchor.notes)


METRIC = Metric("anchor.bits_per_byte", _compare)
"""What old text has lost since the best version ever approved."""


@dataclass(frozen=True)
class Anchor:
    """The best approved version on some documents."""

    name: str
    sample: Sample
    """Its scores, row by row those of the champion's sample."""
    notes: tuple[str, ...]
    """Which approved versions can't be compared with any more, and why."""


def find_anchor(
    champion: str,
    sample: Sample,
    documents: Callable[[], pa.Table],
    models: Registry,
    known: Mapping[str, Sample],
) -> Anchor:
    """Return the anchor on the documents that a challenger is judged by.

    Args:
        champion: what the champion is called in the decision.
        sample: the champion's scores of these documents.
        documents: reads their texts (`scoring.sample`), with the ids of `sample`; called only where
            a version has to read some.
        models: the registered model.
        known: scores of these documents by versions that have them already: the champion's where
            it is a version, and the challenger's where it is one.
    """
    best, notes = Anchor(champion, sample, ()), []
    for number in models.approved():
        try:
            if number in known:
                found = known[number]
                gain = _gain(found, best.sample)
            else:
                scores = _Scores(models.version(number), sample, documents)
                gain = scores.gain(best.sample)
                found = scores.all() if gain > 0 else best.sample
            if gain > 0:
                best = Anchor(f"version {number}", found, ())
        except UsageError:
            notes.append(f"version {number} was approved, but deleted in MLflow since")
        except HeadraceError as error:
            notes.append(f"version {number} was approved, but can't be scored: {error.message}")
    more = "" if not notes else "; the best of the others is the anchor"
    return Anchor(best.name, best.sample, tuple(f"{n}{more}" for n in notes))


def _gain(sample: Sample, other: Sample) -> float:
    return float((other.values - sample.values).sum() / other.weights.sum())


class _Scores:
    """A version's scores of the documents of a sample, kept from round to round."""

    def __init__(self, version: Version, sample: Sample, documents: Callable[[], pa.Table]) -> None:
        self._version, self._sample, self._documents = version, sample, documents
        run = run_ref(version.export)
        self._inputs = Inputs.deciding("scores", run.id, of=run)
        self._file = self._inputs.folder / "documents.parquet"
        kept: dict[str, float] = {}
        if self._file.exists():
            columns = pq.read_table(self._file).to_pydict()
            names = map(_key, columns["id"], columns["bytes"])
            kept = dict(zip(names, columns["nats"], strict=True))
        names = map(_key, sample.ids, sample.weights)
        self._nats = {i: kept[name] for i, name in enumerate(names) if name in kept}
        if len(self._nats) < KNOWN * len(sample.ids):
            self._read_the_rest()

    def _read_the_rest(self) -> None:
        """Score the documents that have no score yet.

        Raises:
            InputError: the version's export has gone or is broken.
        """
        from headrace.training.moe import export as exports

        missing = [i for i in range(len(self._sample.ids)) if i not in self._nats]
        if not missing:
            return
        export = self._version.export
        if not (export / exports.WEIGHTS).exists():
            raise InputError(f"{export} has gone", "restore it, or refuse the version")
        texts = self._documents()
        if tuple(texts["id"].to_pylist()) != self._sample.ids:
            raise InputError("the old documents aren't those that judge", "run it again")
        with console.Progress(f"version {self._version.number} on old text"):
            scored = scoring.score(
                exports.load(export), exports.load_tokenizer(export), texts.take(pa.array(missing))
            ).select(["id", "nats", "bytes"])
        nats: list[float] = scored["nats"].to_numpy().tolist()
        if not all(map(math.isfinite, nats)):
            raise InputError(f"{export}: its scores aren't finite", "refuse the version")
        kept = [pq.read_table(self._file)] if self._file.exists() else []
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables([*kept, scored]), sink, compression="zstd")
        artifacts.begin(self._inputs)
        storage.write_bytes(self._file, sink.getvalue().to_pybytes())
        self._nats |= dict(zip(missing, nats, strict=True))

    def gain(self, other: Sample) -> float:
        """Bits per byte by which the version is better on the documents that it has scores of."""
        rows = sorted(self._nats)
        ours = gate.bits(np.array([self._nats[i] for i in rows]))
        return float((other.values[rows] - ours).sum() / other.weights[rows].sum())

    def all(self) -> Sample:
        """Return the scores of all documents, row by row those of the sample."""
        self._read_the_rest()
        nats = np.array([self._nats[i] for i in range(len(self._sample.ids))])
        return Sample(self._sample.ids, gate.bits(nats), self._sample.weights, self._sample.slices)


def _key(document: str, size: float) -> str:
    """Return the key of a scored document: its id, and how many bytes of its start."""
    return f"{document}:{int(size)}"
