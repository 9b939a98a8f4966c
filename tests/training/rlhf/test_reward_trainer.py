"""The reward model on a tiny world: it learns the order, and scores on a scale of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill import dies_at_save

from headrace.infra.errors import UsageError
from headrace.tasks.curves import plotted
from headrace.training.chat_template import Chat, padded
from headrace.training.moe import export
from headrace.training.rlhf.jobs import RewardJob
from headrace.training.rlhf.reward_trainer import load_reward, reward, right, score
from headrace.training.rlhf.settings import RewardSettings, Saving
from headrace.training.rlhf.sft import response_nats

SETTINGS = RewardSettings(
    steps=20, batch=8, sampled=24, max_new_tokens=12, checkpoint=Saving(every=8)
)


def job(world: Any, output: Path, seed: int = 3) -> RewardJob:
    return RewardJob(
        model=str(world.base),
        data=str(world.reward),
        output=str(output),
        settings=SETTINGS,
        seed=seed,
    )


def test_ties_count_half() -> None:
    assert right(np.array([1.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0])).tolist() == [1.0, 0.0, 0.5]


def test_it_learns_the_order_and_resumes(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reward(job(world, tmp_path / "whole"))
    m = whole.metrics
    assert m.untrained == 0.5
    lines = [json.loads(x) for x in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert all(plotted("reward") <= x.keys() for x in lines)
    assert m.after > 0.9
    assert m.gain == pytest.approx(m.after - m.before)
    assert m.low <= m.gain <= m.high
    assert m.by_kind["cut"].n == 30
    assert m.by_kind["sampled"].n > 0

    with dies_at_save():
        reward(job(world, tmp_path / "killed"))
    assert reward(job(world, tmp_path / "killed")).metrics == m
    assert (tmp_path / "killed/export/model.safetensors").read_bytes() == (
        tmp_path / "whole/export/model.safetensors"
    ).read_bytes()
    with pytest.raises(UsageError):
        reward(job(world, tmp_path / "whole", seed=4))

    # Scores of the export: log odds, and the held-out order again.
    rows = [json.loads(x) for x in (world.reward / "heldout.jsonl").read_text().splitlines()]
    judge, tokenizer = load_reward(whole.export), export.load_tokenizer(whole.export)
    prompts = [r["prompt"] for r in rows]
    good = score(judge, tokenizer, prompts, [r["chosen"] for r in rows])
    bad = score(judge, tokenizer, prompts, [r["rejected"] for r in rows])
    assert right(good, bad).mean() == m.after
    assert (good - bad).mean() == pytest.approx(m.margin, rel=1e-6)
    both = np.concatenate([good, bad])
    scaled = judge.scaled(torch.from_numpy(both)).numpy()
    assert abs(scaled.mean()) < 1.5 and scaled.std() < 3, "the scale that PPO trains on"
    # The preference loss fits them as log odds, whatever the scale is.
    chat = Chat.of(tokenizer, judge.config.max_position_embeddings)
    sides = (chat.dialogues(prompts, [r[k] for r in rows]) for k in ("chosen", "rejected"))
    with torch.no_grad():
        raw = [judge(*padded(side, chat.pad)) for side in sides]
    assert good - bad == pytest.approx((raw[0] - raw[1]).double().numpy(), abs=1e-4)


def test_before_training_stands_what_the_sft_models_likelihood_orders_right(
    world: Any, tmp_path: Path
) -> None:
    """Not a coin: a reward model that adds nothing to the likelihood has gained nothing."""
    m = reward(job(world, tmp_path / "run")).metrics
    rows = [json.loads(x) for x in (world.reward / "heldout.jsonl").read_text().splitlines()]
    model, tokenizer = export.load(world.base), export.load_tokenizer(world.base)
    chat = Chat.of(tokenizer, model.config.max_position_embeddings)
    means = []
    for side in ("chosen", "rejected"):
        dialogues = chat.dialogues([r["prompt"] for r in rows], [r[side] for r in rows])
        nats = response_nats(model, dialogues, chat.pad)
        means.append(-nats / [len(d.ids) - d.start - 1 for d in dialogues])
    before = right(*means)
    assert m.before == pytest.approx(before.mean()) and m.n == len(rows) == 30
