"""Unigram and Kneser-Ney bigram models of the training tokens: what a neural model must beat.

Both are fitted on the token shards that the model saw (no more of them), predict the same ids of
the same documents, and are scored in the same bits per byte, so the three figures compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.infra.files import walk
from headrace.training.data.columns import lists

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def read_rows(folder: str, tokens: int | None = None) -> Ids:
    """Packed rows (R, T) of a folder of token shards, in the order of the files' names.

    Args:
        folder: `train/` of a tokens folder.
        tokens: read no more rows than these tokens fill; None: all.

    Raises:
        InputError: the folder holds no rows.
    """
    parts: list[Ids] = []
    left = tokens
    for uri in walk.list_files(folder):
        if not uri.endswith(".parquet"):
            continue
        with storage.open_input(uri) as f:
            table = pq.read_table(f, columns=["input_ids"])
        if len(table) == 0:
            continue
        flat, _ = lists(table, "input_ids")
        rows = flat.astype(np.int64).reshape(len(table), -1)
        if left is not None:
            rows = rows[: left // rows.shape[1]]
            # A later file must not fill what this one's next row did not fit in.
            left = left - rows.size if len(rows) == len(table) else 0
        parts.append(rows)
    if not any(map(len, parts)):
        raise InputError(f"{folder}: no token rows", "give the `train` folder of `tokenize`")
    return np.concatenate(parts)


@dataclass(frozen=True)
class Unigram:
    """Add-one unigram: p(w) = (c(w) + 1) / (N + V)."""

    log_p: Floats
    """(V,) natural log of each token's probability."""

    @classmethod
    def fit(cls, rows: Ids, vocabulary: int) -> Unigram:
        """Fit the model of all tokens of `rows` (R, T)."""
        counts = np.bincount(rows.ravel(), minlength=vocabulary) + 1.0
        return cls(np.log(counts / counts.sum()))

    def log_probability(self, previous: Ids, token: Ids) -> Floats:
        """Return ln p(token), whatever stands before it; shape of `token`."""
        return self.log_p[token]


@dataclass(frozen=True)
class Bigram:
    """Interpolated Kneser-Ney bigram (Chen and Goodman, 1999, section 2.7, equation 22).

    p(w|v) = max(c(vw) - D, 0) / c(v) + D N1+(v.) / c(v) * q(w), where q(w) is the share of bigram
    types that end in w, itself discounted in the same way and interpolated with the uniform
    distribution, so that every token has a probability. Discounts are n1 / (n1 + 2 n2) of the
    counts that they are taken from (Ney, Essen and Kneser, 1994).
    """

    vocabulary: int
    pairs: Ids
    """(P,) codes v * V + w of the bigram types seen, ascending."""
    counts: Floats
    """(P,) how often each was seen."""
    context: Floats
    """(V,) c(v): how often v was followed by anything."""
    discount: float
    reserved: Floats
    """(V,) D N1+(v.) / c(v): what v leaves to q; 1 for a token never followed."""
    continuation: Floats
    """(V,) q(w)."""

    @classmethod
    def fit(cls, rows: Ids, vocabulary: int) -> Bigram:
        """Fit the model of neighboring tokens within each of `rows` (R, T), not across two."""
        codes = (rows[:, :-1] * vocabulary + rows[:, 1:]).ravel()
        pairs, counts = np.unique(codes, return_counts=True)
        first, last = pairs // vocabulary, pairs % vocabulary
        context = np.bincount(first, weights=counts, minlength=vocabulary)
        followers = np.bincount(first, minlength=vocabulary)
        discount = _discount(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            reserved = np.where(context > 0, discount * followers / context, 1.0)
        types = np.bincount(last, minlength=vocabulary)
        low = _discount(types[types > 0])
        total = max(len(pairs), 1)
        left = low * np.count_nonzero(types) / total if len(pairs) else 1.0
        continuation = np.maximum(types - low, 0) / total + left / vocabulary
        return cls(
            vocabulary,
            pairs,
            counts.astype(np.float64),
            context.astype(np.float64),
            discount,
            reserved,
            continuation,
        )

    def log_probability(self, previous: Ids, token: Ids) -> Floats:
        """Return ln p(token | previous); shape of `token`."""
        codes = previous * self.vocabulary + token
        at = np.minimum(np.searchsorted(self.pairs, codes), max(len(self.pairs) - 1, 0))
        seen = self.pairs[at] == codes if len(self.pairs) else np.zeros(codes.shape, bool)
        count = np.where(seen, self.counts[at] - self.discount, 0.0) if len(self.pairs) else 0.0
        direct = count / np.maximum(self.context[previous], 1.0)
        return np.log(direct + self.reserved[previous] * self.continuation[token])


def _discount(counts: npt.NDArray[np.int64]) -> float:
    """n1 / (n1 + 2 n2), where n1 and n2 are the numbers of ones and twos; 0.5 if there is none."""
    ones, twos = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return float(ones / (ones + 2 * twos)) if ones else 0.5


def score_ids(
    log_probability: Callable[[Ids, Ids], Floats], documents: Sequence[Sequence[int]]
) -> Floats:
    """Nats (N,) of documents given as ids, the first of which is only read (`nll.encode`)."""
    sizes = np.array([max(len(d) - 1, 0) for d in documents], dtype=np.int64)
    if sizes.sum() == 0:
        return np.zeros(len(documents))
    previous = np.concatenate([np.asarray(d[:-1], dtype=np.int64) for d in documents])
    token = np.concatenate([np.asarray(d[1:], dtype=np.int64) for d in documents])
    losses = -log_probability(previous, token)
    nats: Floats = np.zeros(len(sizes))
    np.add.at(nats, np.repeat(np.arange(len(sizes)), sizes), losses)
    return nats


def baselines(
    tokens: str, documents: Sequence[Sequence[int]], vocabulary: int, seen: int | None = None
) -> dict[str, Floats]:
    """Nats (N,) of each document under each baseline, keyed `unigram` and `kneser_ney_bigram`.

    Args:
        tokens: folder that `tokenize` wrote.
        documents: ids as `nll.encode` gives them.
        vocabulary: number of tokens of the tokenizer.
        seen: how many training tokens the model saw; None: all there are.

    Raises:
        InputError: there are no training shards.
    """
    rows = read_rows(storage.join(tokens, "train"), seen)
    return {
        "unigram": score_ids(Unigram.fit(rows, vocabulary).log_probability, documents),
        "kneser_ney_bigram": score_ids(Bigram.fit(rows, vocabulary).log_probability, documents),
    }
