"""The champion's loss, in bits and bytes of each document: on a window, and on held-out text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import releases
from headrace.infra.artifacts import Artifact, Inputs, Ref, produce
from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.evaluation import scores_of, write_documents
from headrace.tasks.model_refs import run_ref
from headrace.training.scoring import gate
from headrace.training.settings import EvaluateSettings

_LABELS = ("lang", "domain")
_KEPT_BACK = 100
"""Documents of a taught window that are scored at most."""


class Losses(Artifact):
    """A model's loss on documents of a release."""

    RECORD = "losses.json"

    release: str
    """Its id."""

    @property
    def documents(self) -> str:
        """Parquet file with the loss on each document."""
        return str(Path(self.folder) / "documents.parquet")

    def parts(self) -> tuple[str, ...]:
        """Return the loss on each document."""
        return (self.documents,)


def corpus_losses(export: str, corpus: list[str], shared: Shared) -> pa.Table:
    """Return the loss on the held-out records of a champion's corpus; scored once."""
    return _in_bits(pq.read_table(scores_of(export, corpus, shared).documents))


def taught_losses(export: str, release: str) -> pa.Table:
    """Return the loss on what the round on a window kept back; scored once.

    A window of 200 documents has four records that are held out permanently, so the others that its
    round did not train on count too.
    """
    from headrace.training.incremental.split import split_window

    name, run = Path(release).name, run_ref(export)
    parents = (Ref(kind="release", id=name),)
    inputs = Inputs.deciding("losses", run.id, name, parents=parents, of=run)

    def make(folder: Path) -> Losses:
        documents = releases.read_documents(release, ("text", "content_hash"))
        heldout = split_window(documents)[1].slice(0, _KEPT_BACK)
        write_documents(_scored(export, heldout), folder / "documents.parquet")
        return Losses(release=name)

    return pq.read_table(produce(Losses, inputs, make).documents)


def window_losses(export: str, window: pa.Table, most: int) -> pa.Table | None:
    """Return the loss on a window's documents to keep, with their `row`; None: too few.

    Rejected records are left out, for held-out text has none. Of many documents every so-manieth
    is taken, so that runs of neighbors are thinned out.
    """
    kept = np.flatnonzero(pc.is_null(window["level"]).to_numpy())
    if len(kept) < 2:
        return None
    rows = kept[np.unique(np.linspace(0, len(kept) - 1, min(most, len(kept))).astype(np.int64))]
    scored = _scored(export, window.take(rows))
    return scored.append_column("row", pa.array(rows))


def _scored(export: str, documents: pa.Table) -> pa.Table:
    """Documents with text, scored as evaluation does: the same start of each."""
    from headrace.training.moe import export as exports
    from headrace.training.scoring import nll

    most = EvaluateSettings().max_bytes
    texts = [nll.cut(str(text), most) for text in documents["text"].to_pylist()]
    nats, sizes = nll.score(exports.load(export), exports.load_tokenizer(export), texts)
    scored = pa.table({"nats": pa.array(nats), "bytes": pa.array(sizes)})
    for name in _LABELS:
        scored = scored.append_column(name, pc.cast(documents[name], pa.string()))
    return _in_bits(scored)


def _in_bits(scored: pa.Table) -> pa.Table:
    """`lang`, `domain`, `bits`, `bytes`; hundredths of a bit, so that threads change nothing."""
    bits = np.round(gate.bits(scored["nats"].to_numpy()), 2)
    return scored.select([*_LABELS, "bytes"]).append_column("bits", pa.array(bits))
