"""Bits per byte of a model on documents, overall and by language and domain, with intervals.

Of every document the start is scored, `EvaluateSettings.max_bytes` of it: long documents would
otherwise decide both the figure and the time. The same start is scored for every model and
baseline, so all figures compare. A metric is a ratio of sums (bits over bytes) with an interval
over documents (`interval.ratio`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra.errors import ValidationError
from headrace.infra.lineage import digest
from headrace.training.data.columns import strings
from headrace.training.scoring import interval, nll
from headrace.training.scoring.policy import SLICES
from headrace.training.settings import EvaluateSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from headrace.training.moe.model import MoEForCausalLM

Metric = dict[str, float | int | None]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one set of documents."""

    metrics: dict[str, Metric]
    """name: {value, low, high, n}, as the contract has it. low and high are null where there are
    too few documents for an interval, all three where a score isn't finite."""
    documents: pa.Table
    """One row a document: `id`, `lang`, `domain`, `nats`, `bytes`; for pairing with another."""


def sample(table: pa.Table, settings: EvaluateSettings) -> pa.Table:
    """Columns `id`, `text` (cut), `lang`, `domain` of the documents that are scored.

    The id is the content hash where there is one, else a hash of the text. Rows are ordered by it,
    so the same documents give the same table however they were stored.

    Raises:
        ValidationError: no document holds text.
    """
    texts = [str(text or "") for text in table["text"].to_pylist()]
    hashed = "content_hash" in table.column_names
    ids = table["content_hash"].to_pylist() if hashed else [digest(t) for t in texts]
    order = sorted((i for i, t in enumerate(texts) if t), key=lambda i: (ids[i], i))
    order = order[: settings.documents]
    if not order:
        raise ValidationError("no text to evaluate on", "give at least one document with text")
    columns: dict[str, pa.StringArray] = {
        "id": pa.array([ids[i] for i in order], pa.string()),
        "text": pa.array([nll.cut(texts[i], settings.max_bytes) for i in order], pa.string()),
    }
    at = pa.array(order, pa.int64())
    for name in SLICES:
        if name in table.column_names:
            columns[name] = cast("pa.StringArray", pc.cast(table[name].take(at), pa.string()))
        else:
            columns[name] = pa.nulls(len(order), pa.string())
    return pa.table(columns)


def bits_per_byte(documents: pa.Table) -> float:
    """Return the ratio of sums of documents with `nats` and `bytes`; NaN without any bytes."""
    total = float(pc.sum(documents["bytes"]).as_py() or 0)
    nats = float(documents["nats"].to_numpy().sum())
    return nats / total / math.log(2) if total else math.nan


def score(
    model: MoEForCausalLM, tokenizer: PreTrainedTokenizerFast, documents: pa.Table
) -> pa.Table:
    """Return `sample`'s documents with `nats` and `bytes` of their text in place of the text."""
    nats, sizes = nll.score(model, tokenizer, strings(documents, "text"))
    bare = documents.drop_columns(["text"])
    bare = bare.append_column("nats", pa.array(nats, pa.float64()))
    return bare.append_column("bytes", pa.array(sizes, pa.int64()))


def metrics(documents: pa.Table, settings: EvaluateSettings, seed: int) -> dict[str, Metric]:
    """`bits_per_byte`, `bits_per_byte.lang=zh` … of documents with `nats` and `bytes`.

    A slice is given where its column has a value; rows without one only count overall.
    """
    bits = documents["nats"].to_numpy() / math.log(2)
    sizes = documents["bytes"].to_numpy().astype(np.float64)
    masks = {"bits_per_byte": np.ones(len(bits), bool)}
    for name in SLICES:
        values = np.array(documents[name].to_pylist(), dtype=object)
        for value in sorted({v for v in values if v is not None}):
            masks[f"bits_per_byte.{name}={value}"] = values == value
    out: dict[str, Metric] = {}
    for name, mask in masks.items():
        found = interval.ratio(
            bits[mask],
            sizes[mask],
            confidence=settings.confidence,
            flips=settings.resamples,
            seed=seed,
        )
        low, high = found.ends()
        value = found.value if math.isfinite(found.value) else None
        out[name] = {"value": value, "low": low, "high": high, "n": found.n}
    return out


def evaluate_model(
    model: MoEForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    table: pa.Table,
    settings: EvaluateSettings,
    seed: int,
) -> Evaluation:
    """Figures of a model in memory; see `evaluate`."""
    scored = score(model, tokenizer, sample(table, settings))
    return Evaluation(metrics(scored, settings, seed), scored)


def evaluate(
    export: str, table: pa.Table, seed: int, settings: EvaluateSettings | None = None
) -> Evaluation:
    """Figures of an exported model on documents, with intervals, and values per document.

    Args:
        export: folder of the export.
        table: documents with `text`, and `lang`, `domain`, `content_hash` where known.
        seed: seed of the intervals.
        settings: None for the defaults.

    Raises:
        ValidationError: no document holds text.
    """
    from headrace.training.moe import export as exports

    return evaluate_model(
        exports.load(export),
        exports.load_tokenizer(export),
        table,
        settings or EvaluateSettings(),
        seed,
    )


def baseline_evaluations(
    tokens: str,
    tokenizer: PreTrainedTokenizerFast,
    table: pa.Table,
    seed: int,
    seen: int | None = None,
    settings: EvaluateSettings | None = None,
) -> dict[str, Evaluation]:
    """Figures of the unigram and the bigram on the same documents, keyed by name.

    Args:
        tokens: folder that `tokenize` wrote.
        tokenizer: the one in it.
        table: documents, as for `evaluate`.
        seed: seed of the intervals.
        seen: training tokens that the model saw; None: all there are.
        settings: None for the defaults.
    """
    from headrace.training.scoring import baselines

    settings = settings or EvaluateSettings()
    documents = sample(table, settings)
    texts = strings(documents, "text")
    ids = nll.encode(tokenizer, texts)
    bare = documents.drop_columns(["text"])
    sizes = pa.array([len(t.encode()) for t in texts], pa.int64())
    out = {}
    for name, nats in baselines.baselines(tokens, ids, len(tokenizer), seen).items():
        scored = bare.append_column("nats", pa.array(nats, pa.float64()))
        scored = scored.append_column("bytes", sizes)
        out[name] = Evaluation(metrics(scored, settings, seed), scored)
    return out
