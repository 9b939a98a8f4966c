"""Figures of docs/model.md: the MoE against a dense model of the same active parameters.

    HEADRACE_BENCH_DATA=DIR python -m pytest -m bench -s tests/benchmarks/test_model.py

DIR is a folder of token shards (`headrace tokenize --output DIR`); without it the newest one that
`make run` left in the state folder. HEADRACE_BENCH_PRESET chooses the preset (local). Both models
see the same tokens in the same order, with the same seed; bits per byte on the same held-out rows,
beside those of the bigram.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from headrace.infra.state.state_dir import home
from headrace.training.data.shards import Shards
from headrace.training.pretrain import PretrainJob, pretrain
from headrace.training.scoring.baselines import Bigram, Unigram, read_rows
from headrace.training.settings import PretrainSettings

pytestmark = pytest.mark.bench

PRESET = os.environ.get("HEADRACE_BENCH_PRESET", "local")
# At import: each test has a state folder of its own.
_MADE = sorted(home().tokens.glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
DATA = os.environ.get("HEADRACE_BENCH_DATA") or (str(_MADE[-1].parent) if _MADE else "")


@pytest.mark.skipif(not DATA, reason="no token shards: `make run` first, or HEADRACE_BENCH_DATA")
def test_moe_beside_dense_of_the_same_active_parameters(tmp_path: Path) -> None:
    shards, results = Shards(DATA), {}
    for name, dense in (("MoE", False), ("dense", True)):
        settings = PretrainSettings(
            preset=PRESET, dense=dense, heldout_rows=shards.heldout.rows, heldout_every=10**9
        )
        job = PretrainJob(data=DATA, output=str(tmp_path / name), settings=settings)
        r = results[name] = pretrain(job)
        print(
            f"{name}: {r.total_parameters:,} parameters, {r.active_parameters:,} active, "
            f"{r.tokens:,} tokens, {r.tokens_per_second:,.0f} per second, held-out "
            f"{r.heldout_loss:.4f} nats per token, "
            f"{r.heldout_bits_per_byte:.4f} bits per byte"
        )
    heldout = results["MoE"].heldout_loss
    assert heldout is not None
    rows = read_rows(f"{DATA}/train", results["MoE"].tokens)
    seen = shards.heldout.take(0, shards.heldout.rows).ids.astype(np.int64)
    for model in (Unigram.fit(rows, shards.vocabulary), Bigram.fit(rows, shards.vocabulary)):
        nats = -float(model.log_probability(seen[:, :-1], seen[:, 1:]).mean())
        print(f"{type(model).__name__.lower()}: {nats:.4f} nats per token")
        assert heldout < nats
    active = [results[n].active_parameters for n in ("MoE", "dense")]
    assert abs(active[0] - active[1]) < 0.02 * active[0]  # the router is the difference
