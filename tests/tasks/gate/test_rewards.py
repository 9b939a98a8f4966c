"""Rewards of several answers to each held-out prompt."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headrace.infra.artifacts import Lineage
from headrace.tasks.gate.rewards import PROMPTS, SAMPLES, score_rewards
from headrace.training.moe import export as exports
from headrace.training.rlhf import generate, reward_trainer


def weights(folder: Path, value: float = 1.0) -> str:
    """An export folder with nothing but one weight."""
    exports.save_tensors({"w": torch.tensor([value])}, folder / exports.WEIGHTS)
    return str(folder)


@pytest.fixture
def judged_by(state: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A reward model that counts the letters of an answer, and prompts; {seeds, lineage}."""
    rows = [{"prompt": f"p{i % 300}"} for i in range(310)]
    prompts = state / "prompts.jsonl"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    prompts.write_text("".join(json.dumps(r) + "\n" for r in rows))
    seeds: list[int] = []

    def said(folder: str, asked: Sequence[str], given: Sequence[int]) -> list[list[str]]:
        seeds.extend(given)
        return [["a" * (1 + (int(p[1:]) + seed) % 7) for p in asked] for seed in given]

    def lengths(model: Any, tokenizer: Any, asked: Any, texts: Sequence[str]) -> Any:
        return np.array([float(len(t)) for t in texts])

    monkeypatch.setattr(generate, "answers", said)
    monkeypatch.setattr(reward_trainer, "score", lengths)
    monkeypatch.setattr(reward_trainer, "load_reward", lambda folder: None)
    monkeypatch.setattr("headrace.training.moe.export.load_tokenizer", lambda folder: None)
    return {"seeds": seeds, "lineage": {"reward": "runs/reward-1", "prompts": str(prompts)}}


def test_rewards_are_of_several_answers_to_each_prompt(
    state: Path, judged_by: dict[str, Any]
) -> None:
    model = weights(state / "runs/ppo-1/export")
    judge = Lineage.model_validate(judged_by["lineage"])
    found = score_rewards.fn(model, judge, 7)
    assert found is not None
    assert len(found.prompts) == PROMPTS == len(set(found.prompts))
    assert {len(row) for row in found.scores} == {SAMPLES}
    assert len(set(judged_by["seeds"])) == SAMPLES, "each sample has its own seed"
    sample = found.sample()
    assert len(sample.values) == PROMPTS and sample.weights.tolist() == [1.0] * PROMPTS
    first = [1 + (int(found.prompts[0][1:]) + seed) % 7 for seed in judged_by["seeds"]]
    assert sample.values[0] == pytest.approx(np.mean(first))
    again = score_rewards.fn(model, judge, 7)
    assert again == found and len(judged_by["seeds"]) == SAMPLES
    assert score_rewards.fn(model, Lineage(), 7) is None
    weights(state / "runs/ppo-1/export", 2.0)
    score_rewards.fn(model, judge, 7)
    assert len(judged_by["seeds"]) == 2 * SAMPLES, "other weights under the same name"
