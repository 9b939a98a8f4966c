"""PPO on a tiny world: it raises a reward that can be read off, and a kill changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill import dies_at_save

from headrace.infra.errors import InputError
from headrace.tasks.curves import plotted
from headrace.training.chat_template import Chat
from headrace.training.data.shards import Shards
from headrace.training.engine import Engine, prepare
from headrace.training.moe import export
from headrace.training.rlhf import reward_model
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.rlhf.jobs import PPOJob
from headrace.training.rlhf.ppo import ppo
from headrace.training.rlhf.ppo_objective import PPO, prompts_of_round
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.settings import KLSettings, PPOSettings, Rates, Saving
from headrace.training.rlhf.sft import HELDOUT_ROWS

SETTINGS = PPOSettings(
    iterations=4, rollouts=12, minibatch=6, max_new_tokens=10, replay_rows=1,
    evaluation_samples=1, checkpoint=Saving(every=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def judge(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = ScalarModel(export.load(world.base))
    torch.manual_seed(1)
    torch.nn.init.normal_(model.head.weight)
    return reward_model.save(model, tmp_path_factory.mktemp("judge") / "export", world.base, {}, {})


def job(world: Any, judge: Path, output: Path) -> PPOJob:
    return PPOJob(
        model=str(world.base), reward=str(judge), data=str(world.ppo), output=str(output),
        replay=str(world.tokens), settings=SETTINGS, seed=3, lineage={"reward": "kept"},
    )  # fmt: skip


def test_answer_metrics_and_a_kill_in_the_middle(
    world: Any, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ppo(job(world, judge, tmp_path / "whole"))
    m = whole.metrics
    assert {"before", "after", "gain", "low", "high", "n", "name"} <= m.as_json().keys()
    assert m.low <= m.gain <= m.high
    assert m.kl > 0
    assert json.loads((tmp_path / "whole/export/lineage.json").read_text())["reward"] == "kept"
    chat = export.chat_format(whole.export)
    assert chat is not None and chat.stops == (0, 3)
    lines = [json.loads(x) for x in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [1, 2, 3, 4]
    wanted = {"loss", "reward", "kl", "clip_fraction", "value_loss", "length", "coefficient"}
    assert all(wanted | plotted("ppo") <= set(x) for x in lines)
    assert all(0 <= x["rerouted"] <= 1 for x in lines)
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-3)  # the policy begins as the reference

    with dies_at_save():
        ppo(job(world, judge, tmp_path / "killed"))
    assert ppo(job(world, judge, tmp_path / "killed")).metrics == m
    for file in ("metrics.jsonl", "export/model.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_what_decides_no_weight_changes_no_byte_and_trains_nothing_again(
    world: Any, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SETTINGS.model_copy(update={"iterations": 2})
    other = few.model_copy(update={"checkpoint": Saving(every=1, keep=1), "evaluation_samples": 2})
    asked = [
        job(world, judge, tmp_path / name).model_copy(update={"settings": s})
        for name, s in (("one", few), ("two", other))
    ]
    one, two = map(ppo, asked)
    files = ["export/model.safetensors", "metrics.jsonl"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    # Asked of the first folder: judged again, on as many samples as are asked for, not trained.
    monkeypatch.setattr(PPO, "learn", None)
    again = ppo(asked[0].model_copy(update={"settings": other}))
    assert again.metrics == two.metrics != one.metrics
    assert ppo(asked[0]).metrics == one.metrics


def test_replayed_rows_and_the_language_metric_see_each_document_apart(
    world: Any, judge: Path, tmp_path: Path, watch: Any
) -> None:
    shards = Shards(str(world.tokens))
    seen = watch(np.concatenate([s.take(0, s.rows).ids for s in (shards.train, shards.heldout)]))
    few = SETTINGS.model_copy(update={"iterations": 2, "stop_kl": 9.0})
    made = ppo(job(world, judge, tmp_path / "o").model_copy(update={"settings": few}))
    measured = 2 * min(shards.heldout.rows, HELDOUT_ROWS)
    # Two rounds of two passes over twelve answers, six a step, with a row each.
    assert seen.apart == 2 * 2 * 2 + measured and not seen.mixed
    assert made.metrics.language.before > 0


def test_it_raises_the_reward_that_it_is_given(world: Any, judge: Path) -> None:
    """The reward counts tokens below 150: their share must grow, and so must the divergence."""

    class Counts(ScalarModel):
        def states(self, ids: torch.Tensor) -> torch.Tensor:
            return ((ids < 150).float().cumsum(1) / 5)[..., None] * torch.ones(32)

    prepare(1)
    policy, reference = export.load(world.base), export.load(world.base)
    reward = Counts(export.load(world.base))
    torch.nn.init.constant_(reward.head.weight[:, 32:], 1 / 32)  # of the last state alone
    s = PPOSettings(
        rollouts=64, minibatch=32, max_new_tokens=10, replay_rows=0, kl=KLSettings(coefficient=0.0),
        optimizer=Rates(muon_lr=0.0, adamw_lr=1e-2), stop_kl=0.5, reward_clip=50.0,
    )  # fmt: skip
    chat = Chat.of(export.load_tokenizer(world.base), 64)
    trainer = PPO(s, chat, ActorCritic(policy), reference, reward, None, [], 1)
    optimizer = trainer.both.optimizer(s.optimizer, 1e-2, 1e-3)
    prompts = chat.prompts([f"Go on: {n}" for n in range(64)], 10)
    shares, divergence, rerouted = [], 0.0, 0.0
    with Engine(trainer.both, optimizer, clip=1.0) as engine:
        for number in range(12):
            e = trainer.explore(prompts, number)
            hits = (e.answers.actions() < 150).float() * e.answers.mask
            shares.append(float(hits.sum() / e.answers.mask.sum()))
            divergence = e.figures["kl"]
            rerouted = trainer.learn(e, engine, number)["rerouted"]
    assert 0 < rerouted <= 1
    assert sum(shares[-2:]) / 2 > sum(shares[:2]) / 2 + 0.1
    assert divergence > 1


def test_a_large_move_ends_the_round_early(world: Any, judge: Path) -> None:
    prepare(1)
    policy, reference = export.load(world.base), export.load(world.base)
    reward = reward_model.load(judge)
    s = SETTINGS.model_copy(update={"stop_kl": 0.0, "replay_rows": 0})
    chat = Chat.of(export.load_tokenizer(world.base), 64)
    trainer = PPO(s, chat, ActorCritic(policy), reference, reward, None, [], 1)
    optimizer = trainer.both.optimizer(s.optimizer, 1e-2, 1e-3)
    with Engine(trainer.both, optimizer, clip=1.0) as engine:
        e = trainer.explore(chat.prompts(["Go on"] * 12, 10), 0)
        figures = trainer.learn(e, engine, 0)
    assert figures["updates"] < s.epochs * 2


def test_a_round_takes_each_prompt_once_before_any_again() -> None:
    prompts = [[n] for n in range(10)]
    seen = [p[0] for r in range(5) for p in prompts_of_round(prompts, 4, r, 7)]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_a_language_model_is_no_reward_model(world: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a reward model"):
        ppo(job(world, world.base, tmp_path / "o"))
