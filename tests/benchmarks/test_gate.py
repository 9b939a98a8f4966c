"""Figures of docs/gate.md: how often a gate errs, by method, and how few documents can decide.

    python -m pytest -m bench -s tests/benchmarks/test_gate.py

HEADRACE_BENCH_SAMPLES sets the number of samples of each size (default 1,000). For the figures on a
run's own documents HEADRACE_BENCH_RUN names the folder of a retraining (`runs/ewc-…`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from headrace.training.scoring import interval
from headrace.training.scoring.interval import Floats

pytestmark = pytest.mark.bench

SAMPLES = int(os.environ.get("HEADRACE_BENCH_SAMPLES", "1000"))
RUN = os.environ.get("HEADRACE_BENCH_RUN", "")
SIZES = (5, 8, 12, 20, 30, 60, 200)
LEVEL, DRAWS = 0.025, 500
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def _bootstrap(values: Floats, dice: np.random.Generator) -> Floats:
    means: Floats = values[dice.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    return means


def percentile(values: Floats, dice: np.random.Generator) -> bool:
    """Lower end of the percentile bootstrap above 0."""
    return bool(np.quantile(_bootstrap(values, dice), LEVEL) > 0)


def bca(values: Floats, dice: np.random.Generator) -> bool:
    """Lower end of the BCa bootstrap above 0 (Efron 1987)."""
    means, normal = _bootstrap(values, dice), NormalDist()
    below = float(np.mean(means < values.mean()) + np.mean(means == values.mean()) / 2)
    bias = normal.inv_cdf(min(max(below, 1 / DRAWS), 1 - 1 / DRAWS))
    left = values - values.mean()
    spread = float((left**2).sum())
    acceleration = float((left**3).sum()) / (6 * spread**1.5) if spread else 0.0
    z = bias + normal.inv_cdf(LEVEL)
    at = normal.cdf(bias + z / (1 - acceleration * z))
    return bool(np.quantile(means, at) > 0)


def flips(values: Floats, dice: np.random.Generator) -> bool:
    """Sign flips alone."""
    ones = np.ones(len(values))
    subsets = interval._subsets(values, ones, DRAWS, int(dice.integers(2**32)))
    return bool((1 + np.count_nonzero(subsets <= 0)) / (1 + len(subsets)) <= LEVEL)


def ours(values: Floats, weights: Floats, dice: np.random.Generator) -> bool:
    found = interval.ratio(
        values, weights, confidence=0.95, flips=DRAWS, seed=int(dice.integers(2**32))
    )
    return found.low > 0


@pytest.mark.timeout(0)
def test_how_often_a_model_that_is_not_better_is_called_better(
    zero_mean: dict[str, Draw],
) -> None:
    """In percent, nominally 2.5; the last column weighs the documents by 200 to 1,500 bytes."""
    print("\n| differences | documents | percentile | BCa | sign flips | gate | gate, by bytes |")
    print("|---|---|---|---|---|---|---|")
    for name, draw in zero_mean.items():
        for n in SIZES:
            dice = np.random.default_rng([n, 3])
            values, sizes = draw(dice, (SAMPLES, n)), dice.uniform(200, 1500, (SAMPLES, n))
            rows = [
                [
                    percentile(v, dice), bca(v, dice), flips(v, dice),
                    ours(v, np.ones(n), dice), ours(v * w, w, dice),
                ]
                for v, w in zip(values, sizes, strict=True)
            ]  # fmt: skip
            shares = 100 * np.mean(rows, axis=0)
            print(f"| {name} | {n} | " + " | ".join(f"{s:.1f}" for s in shares) + " |", flush=True)
            assert (shares[-2:] <= 3 + 2 * np.sqrt(2.5 * 97.5 / SAMPLES)).all(), name


def _scores(folder: Path, name: str) -> tuple[Any, Any]:
    table = pq.read_table(folder / "evaluation" / f"{name}.parquet")
    return table["nats"].to_numpy() / np.log(2), table["bytes"].to_numpy().astype(float)


def test_how_few_documents_can_show_a_round_of_retraining_to_be_better() -> None:
    if not RUN:
        pytest.skip("set HEADRACE_BENCH_RUN")
    before, sizes = _scores(Path(RUN), "new_before")
    after, _ = _scores(Path(RUN), "new_after")
    dice = np.random.default_rng(5)
    print("\n| documents | shown to be better |\n|---|---|")
    for n in (8, 10, 12, 16, 20, 24, 30):
        drawn = [dice.choice(len(sizes), n, replace=False) for _ in range(SAMPLES // 2)]
        shown = np.mean([ours((before - after)[i], sizes[i], dice) for i in drawn])
        print(f"| {n} | {shown:.0%} |", flush=True)
    for name in ("new", "old"):
        gains = _scores(Path(RUN), f"{name}_before")[0] - _scores(Path(RUN), f"{name}_after")[0]
        sizes = _scores(Path(RUN), f"{name}_before")[1]
        left = gains - gains.sum() / sizes.sum() * sizes
        skewness = (left**3).mean() / (left**2).mean() ** 1.5
        found = interval.ratio(gains, sizes, confidence=0.95, flips=4000, seed=1)
        print(f"{name}: gain {found.value:.4f} [{found.low:.4f}, {found.high:.4f}], standard "
              f"error {found.se:.4f}, skewness of the differences {skewness:+.1f}")  # fmt: skip
