"""A stage's folder: identity, metrics that survive kill -9, intervals, batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headrace.infra.errors import InputError, UsageError
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer
from headrace.training.rlhf.alignment_run import (
    Batches,
    Stage,
    local_folder,
    paired,
    paired_ratio,
    weights,
)
from headrace.training.rlhf.settings import Rates, Saving


def stage(folder: Path, seed: int = 1, **inputs: str) -> Stage:
    return Stage(str(folder), {"stage": "sft", "seed": seed, **inputs})


def test_the_folder_belongs_to_one_run(tmp_path: Path) -> None:
    stage(tmp_path, model="a").finish({"after": 1.5})
    again = stage(tmp_path, model="a").result()
    assert again == {
        "export": str(tmp_path / "export"), "stage": "sft", "metrics": {"after": 1.5}
    }  # fmt: skip
    with pytest.raises(UsageError, match="other inputs or settings"):
        stage(tmp_path, model="b")
    with pytest.raises(UsageError, match="other inputs or settings"):
        stage(tmp_path, seed=2, model="a")


def test_once_keeps_the_first_value(tmp_path: Path) -> None:
    values = iter([[0.1 + 0.2, 1e-17], [5.0]])
    assert stage(tmp_path).once("before", lambda: next(values)) == [0.1 + 0.2, 1e-17]
    assert stage(tmp_path).once("before", lambda: next(values)) == [0.1 + 0.2, 1e-17]


def test_metrics_are_cut_to_the_checkpoint(tmp_path: Path, model: MoEForCausalLM) -> None:
    optimizer = build_optimizer(model, Rates())
    one = stage(tmp_path)
    for step in range(1, 6):
        one.record(step, loss=step / 3)
        one.save(step, model, optimizer, Saving(every=2), last=False, extra={"x": step})
    with open(one.metrics, "ab") as f:
        f.write(b'{"step": 6, "lo')
    assert stage(tmp_path).resume(model, optimizer) == (4, {"x": 4})
    lines = one.metrics.read_bytes().split(b"\n")
    assert [json.loads(x) for x in lines if x] == [{"step": s, "loss": s / 3} for s in range(1, 5)]


def test_without_a_checkpoint_metrics_begin_anew(tmp_path: Path, model: MoEForCausalLM) -> None:
    one = stage(tmp_path)
    one.record(1, loss=0.5)
    assert one.resume(model, build_optimizer(model, Rates())) == (0, {})
    assert one.metrics.read_bytes() == b""


def test_paired_interval_holds_the_gain_and_narrows_with_pairing() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=300)
    before, after = hard, hard + 0.2 + rng.normal(size=300) * 0.1
    got = paired(before, after, 1)
    assert got["low"] < got["gain"] < got["high"]
    assert got["gain"] == pytest.approx((after - before).mean())
    assert got["high"] - got["low"] < 0.05
    apart = paired(before, rng.permutation(after), 1)
    assert apart["high"] - apart["low"] > 4 * (got["high"] - got["low"])


def test_paired_ratio_weighs_by_size() -> None:
    before, after, size = np.array([4.0, 10.0]), np.array([3.0, 4.0]), np.array([1.0, 9.0])
    got = paired_ratio(before, after, size, 1)
    assert got == {"gain": pytest.approx(0.7), "low": None, "high": None}, "two have no interval"
    more = paired_ratio(*(np.tile(x, 20) for x in (before, after, size)), 1)
    assert more["gain"] == pytest.approx(0.7) and 6 / 9 < more["low"] < 0.7 < more["high"] < 1


def test_an_epoch_takes_each_item_once_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 96).tolist()
    batches = Batches(lengths, 8, seed=3)
    epoch = [batches[n] for n in range(12)]
    assert sorted(i for b in epoch for i in b) == list(range(96))
    inside = np.mean([np.ptp([lengths[i] for i in b]) for b in epoch])
    assert inside < 40  # of up to 99 in a random batch
    assert [batches[n] for n in range(12, 24)] != epoch
    assert Batches(lengths, 8, seed=3)[17] == batches[17]


def test_fewer_items_than_a_batch_are_one_batch() -> None:
    assert sorted(Batches([3, 1, 2], 8, seed=1)[5]) == [0, 1, 2]


def test_folders_and_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="local folder"):
        local_folder("s3://bucket/model", "the model")
    with pytest.raises(InputError):
        weights(tmp_path)
