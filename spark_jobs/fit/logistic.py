"""Fits a `LinearModel`: independent logistic outputs over hashed n-grams.

AdaGrad (Duchi et al., 2011) on the logistic loss, one text a step in a seeded order, with an L2
pull on the weights that the text touches; then 8-bit weights. The same input and seed give the
same file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace.spark_jobs.kernels.linear import LinearModel, NGrams, buckets
from headrace.spark_jobs.texts import Texts

Floats = npt.NDArray[np.float32]


@njit(cache=True, nogil=True)
def _epoch(
    indptr: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int32],
    targets: Floats,
    sample: Floats,
    order: npt.NDArray[np.int64],
    power: float,
    rate: np.float32,
    l2: np.float32,
    w: Floats,
    b: Floats,
    gw: Floats,
    gb: Floats,
) -> None:
    """One pass of AdaGrad over the texts in `order`; changes w, b and the squared gradients."""
    outputs = w.shape[1]
    margin = np.empty(outputs, np.float32)
    step = np.empty(outputs, np.float32)
    for i in order:
        n = indptr[i + 1] - indptr[i]
        if n == 0:
            continue
        share = np.float32(1.0 / n**power)
        margin[:] = 0
        for j in range(indptr[i], indptr[i + 1]):
            row = ids[j]
            for k in range(outputs):
                margin[k] += w[row, k]
        for k in range(outputs):
            z = b[k] + margin[k] * share
            z = min(max(z, np.float32(-30)), np.float32(30))
            step[k] = (np.float32(1) / (np.float32(1) + np.exp(-z)) - targets[i, k]) * sample[i, k]
            gb[k] += step[k] * step[k]
            b[k] -= rate * np.float32(0.05) * step[k] / np.sqrt(gb[k])
        for j in range(indptr[i], indptr[i + 1]):
            row = ids[j]
            for k in range(outputs):
                g = step[k] * share + l2 * w[row, k] * share
                gw[row, k] += g * g
                w[row, k] -= rate * g / np.sqrt(gw[row, k])


def descend(
    indptr: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int32],
    size: int,
    targets: Floats,
    weight: Floats,
    *,
    power: float,
    epochs: int,
    rate: float,
    l2: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Weights (size, K) and biases (K,) for texts given as bucket ids."""
    targets, weight = np.ascontiguousarray(targets, "f4"), np.ascontiguousarray(weight, "f4")
    shape = (size, targets.shape[1])
    w, gw = np.zeros(shape, np.float32), np.full(shape, 1e-6, np.float32)
    b, gb = np.zeros(shape[1], np.float32), np.full(shape[1], 1e-6, np.float32)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        speed = np.float32(rate / (1 + epoch))
        order = rng.permutation(len(targets))
        _epoch(indptr, ids, targets, weight, order, power, speed, np.float32(l2), w, b, gw, gb)
    return w, b


def fit(
    texts: pa.StringArray,
    targets: Floats,
    outputs: tuple[str, ...],
    ngrams: NGrams,
    *,
    sample: Floats | None = None,
    power: float = 1.0,
    epochs: int = 6,
    rate: float = 1.0,
    l2: float = 1e-3,
    seed: int = 0,
) -> LinearModel:
    """Fit a model to `targets` (N, K) in [0, 1]; `sample` (N, K) weighs each text and output.

    A weight of 0 leaves an output of a text out. Margins are as the loss made them: calibrate on
    sources that were not fitted, with `calibrated`.
    """
    held = Texts(texts, np.zeros(len(texts), np.int8))
    indptr, ids = buckets(ngrams, held.data, held.offsets[:-1], held.offsets[1:])
    weight = np.ones_like(targets) if sample is None else sample
    w, b = descend(
        indptr, ids, 1 << ngrams.bits, targets, weight,
        power=power, epochs=epochs, rate=rate, l2=l2, seed=seed,
    )  # fmt: skip
    return quantised(w, b, outputs, ngrams, power)


def quantised(
    w: Floats, b: Floats, outputs: tuple[str, ...], ngrams: NGrams, power: float
) -> LinearModel:
    """Quantize a model to 8-bit weights; the largest 0.01 % of an output's are cut to fit."""
    seen = np.abs(w)
    top = np.array([np.quantile(s[s > 0], 0.9999) if (s > 0).any() else 1.0 for s in seen.T])
    scale = np.maximum(top / 127, 1e-12).astype(np.float32)
    weights = np.clip(np.rint(w / scale), -127, 127).astype(np.int8)
    return LinearModel(ngrams, outputs, weights, scale, b.astype(np.float32), power)


def calibrated(model: LinearModel, gain: Floats, offset: Floats) -> LinearModel:
    """Return the model with margins gain * margin + offset, each (K,)."""
    return LinearModel(
        model.ngrams,
        model.outputs,
        model.weights,
        (model.scale * gain).astype(np.float32),
        (model.bias * gain + offset).astype(np.float32),
        model.power,
    )


def quantile(value: npt.NDArray[np.floating], weight: npt.NDArray[np.float64], q: float) -> float:
    """Return the value below which a share `q` of the weight lies."""
    order = np.argsort(value)
    at = np.searchsorted(np.cumsum(weight[order]), q * weight.sum())
    return float(value[order[min(at, len(order) - 1)]])
