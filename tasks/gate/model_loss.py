"""The champion's loss, in bits and bytes of each document: on a window, and on held-out text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.lineage import code_version
from headrace.infra.state.state_dir import home
from headrace.tasks.gate.evaluation import score_heldout, write_documents
from headrace.tasks.model_refs import run_of
from headrace.tasks.task import OF, once, relative, run_folder
from headrace.training.scoring import gate
from headrace.training.settings import EvaluateSettings

_LABELS = ("lang", "domain")
_KEPT_BACK = 100
"""Documents of a taught window that are scored at most."""


def corpus_losses(export: str, corpus: list[str], shared: Shared) -> pa.Table:
    """The loss on the held-out records of a champion's corpus; scored once."""
    # Not as a separate step: it is a part of the comparison.
    scored = score_heldout.fn(export, corpus, shared)  # type: ignore[attr-defined]
    return _in_bits(pq.read_table(home().resolve(scored["documents"])))


def taught_losses(export: str, release: str) -> pa.Table:
    """The loss on what the round on a window kept back; scored once.

    A window of 200 documents has four records that are held out permanently, so the others that its
    round did not train on count too.
    """
    from headrace.training.incremental.split import split_window

    name = Path(release).name
    folder = run_folder("losses", [run_of(export), name, code_version("training")])

    def make() -> dict[str, Any]:
        documents = releases.read_documents(release, ("text", "content_hash"))
        held = split_window(documents)[1].slice(0, _KEPT_BACK)
        path = folder / "documents.parquet"
        write_documents(_scored(export, held), path)
        return {"documents": relative(path), "release": name, OF: run_of(export)}

    return pq.read_table(home().resolve(once(folder, "losses.json", make)["documents"]))


def window_losses(export: str, window: pa.Table, most: int) -> pa.Table | None:
    """The loss on documents of a window that curation would keep, with their `row`; None: too few.

    Rejected records are left out, for held-out text has none. Of many documents every so-manieth
    is taken, so that runs of neighbors are thinned out.
    """
    kept = np.flatnonzero(pc.is_null(window["level"]).to_numpy())
    if len(kept) < 2:
        return None
    rows = kept[np.unique(np.linspace(0, len(kept) - 1, min(most, len(kept))).astype(np.int64))]
    scored = _scored(export, window.take(pa.array(rows)))
    return scored.append_column("row", pa.array(rows))


def _scored(export: str, documents: pa.Table) -> pa.Table:
    """Documents with text, scored as evaluation does: the same start of each."""
    from headrace.training.moe import export as exports
    from headrace.training.scoring import nll

    texts = [nll.cut(t, EvaluateSettings().max_bytes) for t in documents["text"].to_pylist()]
    nats, sizes = nll.score(exports.load(export), exports.load_tokenizer(export), texts)
    labels = {name: pc.cast(documents[name], pa.string()) for name in _LABELS}
    return _in_bits(pa.table({**labels, "nats": nats, "bytes": sizes}))


def _in_bits(scored: pa.Table) -> pa.Table:
    """`lang`, `domain`, `bits`, `bytes`; hundredths of a bit, so that threads change nothing."""
    bits = np.round(gate.bits(scored["nats"].to_numpy()), 2)
    return scored.select([*_LABELS, "bytes"]).append_column("bits", pa.array(bits))
