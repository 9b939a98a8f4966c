"""The measure of level 4: how dense hostility to groups is in a text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import arrow
from headrace.infra.arrow import Strings
from headrace.spark_jobs.kernels.groups import (
    PLACEHOLDER,
    Lexicon,
    Sentences,
    outside_quotes,
    sentences,
)
from headrace.spark_jobs.kernels.linear import LinearModel
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.l4_bias import BiasSettings
from headrace.spark_jobs.texts import ZH, Texts

DATA = Path(__file__).with_name("data")
RATE = 1.0
"""Density to score: at the default threshold of 0.3 a long text is rejected from a mean probability
of 0.4 on."""
PRIOR = 40.0
"""Bytes of neutral text that a document is taken to have besides its own."""
SUSPECT = 0.1
"""Probability from which on it matters whether a quotation is what is hostile."""
WHOLE = 24
"""Bytes besides names of groups from which on a sentence counts in full."""
UNNAMED = 0.5
"""What a sentence counts that names no group: abuse of goods, shares or one person is not bias."""
REPORTED = 0.35
"""What is left of a hostile quotation in a sentence that is not: it stays below the threshold."""
GROUP_BYTES = len(PLACEHOLDER.encode()) + len(" and ")
"""Bytes of a group's name and of what joins it to the next in a list."""
_SHOWN = 160
"""Bytes of the worst sentence in the detail."""


@cache
def lexicon() -> Lexicon:
    """Names of groups and pronouns, Chinese and English."""
    return Lexicon.load(DATA / "l4_groups.json")


@cache
def shipped() -> LinearModel:
    """Return the model that comes with headrace.

    Three outputs: `foul`, is it unlike clean text; `zh` and `en`, is it hostile as comments go.
    """
    return LinearModel.load(DATA / "l4_bias.npz")


def weight(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weigh a probability as 3p^2 - 2p^3, so that small ones of a long text don't add up.

    It keeps their order.
    """
    return p * p * (3 - 2 * p)


def _lower(
    model: LinearModel,
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    lang: npt.NDArray[np.int8],
) -> npt.NDArray[np.float64]:
    """(S,) the lower of the two probabilities of each span."""
    p = model.span_scores(data, starts, ends).astype(np.float64)
    zh, en, foul = (model.outputs.index(name) for name in ("zh", "en", "foul"))
    own = np.where(lang == ZH, p[:, zh], p[:, en])
    return np.minimum(own, p[:, foul])


def hostility(
    found: Sentences, lang: npt.NDArray[np.int8], model: LinearModel
) -> npt.NDArray[np.float64]:
    """(S,) how hostile each sentence is, 0 to 1.

    It must look unlike clean text and reports of hostility, and hostile among comments of its
    language: the lower of the two probabilities counts.
    """
    low = _lower(model, found.data, found.starts, found.ends, lang[found.owner])
    rows = np.flatnonzero(low > SUSPECT)
    # Reported speech: where enough is said around a quotation, that must be hostile too.
    around, bounds = outside_quotes(found.data, found.starts[rows], found.ends[rows])
    size = np.diff(bounds)
    quoting = (size >= WHOLE) & (size < found.ends[rows] - found.starts[rows])
    outer = _lower(
        model, around, bounds[:-1][quoting], bounds[1:][quoting], lang[found.owner[rows[quoting]]]
    )
    inner = low[rows[quoting]]
    low[rows[quoting]] = np.maximum(np.minimum(inner, outer), REPORTED * inner)
    # Names of groups alone say nothing: what is left without them counts in full from WHOLE on.
    said = found.ends - found.starts - GROUP_BYTES * found.masked
    out: npt.NDArray[np.float64] = weight(low) * np.clip(said / WHOLE, 0, 1)
    return np.where(found.groups > 0, out, UNNAMED * out)


def _densities(
    texts: Texts, model: LinearModel
) -> tuple[npt.NDArray[np.float64], Sentences, npt.NDArray[np.float64]]:
    """(N,) densities, the sentences, and (S,) what each adds: hostility times length."""
    n = len(texts.text)
    found = sentences(texts.folded, texts.offsets, lexicon())
    length = (found.ends - found.starts).astype(np.float64)
    weighted = hostility(found, texts.lang, model) * length
    density = np.bincount(found.owner, weighted, n) / (PRIOR + np.bincount(found.owner, length, n))
    return density, found, weighted


def document_scores(texts: Texts, model: LinearModel) -> npt.NDArray[np.float64]:
    """(N,) scores by a model that was just fitted."""
    density = _densities(texts, model)[0]
    out: npt.NDArray[np.float64] = 1 - np.exp(-RATE * density)
    return out


def score(texts: Texts, settings: BiasSettings) -> dict[str, pa.Array[Any]]:
    """`bias_score`, and of what will be rejected the sentence that adds most and its groups."""
    density, found, weighted = _densities(texts, shipped())
    value = (1 - np.exp(-RATE * density)).astype(np.float32)
    worst, groups = _worst(texts, found, weighted, value > settings.threshold)
    return {"bias_score": pa.array(value), "_bias_worst": worst, "_bias_groups": groups}


def _worst(
    texts: Texts,
    found: Sentences,
    weighted: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.bool_],
) -> tuple[Strings, pa.Int32Array]:
    """(text of the sentence that adds most, groups in it) of the wanted texts, else null."""
    n = len(texts.text)
    worst: list[str | None] = [None] * n
    groups: list[int | None] = [None] * n
    bounds = np.searchsorted(found.owner, np.arange(n + 1))
    for i in np.flatnonzero(wanted):
        at = bounds[i] + int(np.argmax(weighted[bounds[i] : bounds[i + 1]]))
        last = at + 1 == bounds[i + 1]
        end = texts.offsets[i + 1] if last else found.places[at + 1]
        raw = texts.data[found.places[at] : min(end, found.places[at] + _SHOWN)].tobytes()
        worst[i] = raw.decode("utf-8", "ignore").strip()
        groups[i] = int(found.groups[bounds[i] : bounds[i + 1]].sum())
    return pa.array(worst, pa.string()), pa.array(groups, pa.int32())


def decide(table: pa.Table, settings: BiasSettings) -> Verdict:
    """Reject above the threshold: `bias.group` where a group is named, else `bias.abuse`.

    Replayed from stored scores, where the sentences are not at hand, the reason is `bias.density`.
    """
    n = table.num_rows
    score = table["bias_score"].combine_chunks()
    bad = pc.greater(score, pa.scalar(settings.threshold, pa.float32())).fill_null(False)
    detail = arrow.join("score ", pc.round(score, 3).cast(pa.string()), "")
    if "_bias_groups" in table.column_names:
        groups, worst = (table[c].combine_chunks() for c in ("_bias_groups", "_bias_worst"))
        named = pc.greater(groups, pa.scalar(0)).fill_null(False)
        reason: Strings = pc.if_else(named, "bias.group", "bias.abuse")
        detail = pc.coalesce(arrow.join(detail, "; worst: ", worst, ""), detail)
    else:
        reason = pa.array(["bias.density"] * n, pa.string())
    nothing = pa.nulls(n, pa.string())
    return Verdict(pc.if_else(bad, reason, nothing), pc.if_else(bad, detail, nothing))
