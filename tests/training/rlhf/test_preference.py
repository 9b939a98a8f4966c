"""Batches of the reward model: a quarter of the pairs are against the SFT model's own answers."""

from __future__ import annotations

from headrace.training.chat_template import Chat, Dialogue
from headrace.training.engine import Engine
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer
from headrace.training.rlhf.preference import Pair, Preference
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.settings import Rates


def pairs(chat: Chat, count: int, rejected: str) -> list[Pair]:
    def sides(text: str) -> list[Dialogue]:
        return chat.dialogues(["The river"] * count, [text] * count)

    return list(zip(sides("keeps the valley"), sides(rejected), strict=True))


def test_a_quarter_of_a_step_is_sampled(model: MoEForCausalLM, chat: Chat) -> None:
    data, sampled = pairs(chat, 12, "keeps"), pairs(chat, 3, "crosses")
    scalar = ScalarModel(model)
    both = Preference(scalar, data, sampled, 8, chat.pad, seed=1)
    assert [(len(some), len(batches[0])) for some, batches in both.batches] == [(12, 6), (3, 2)]
    alone = Preference(scalar, data, [], 8, chat.pad, seed=1)
    assert [(len(some), len(batches[0])) for some, batches in alone.batches] == [(12, 8)]


def test_a_step_scores_the_chosen_answers_higher(model: MoEForCausalLM, chat: Chat) -> None:
    scalar = ScalarModel(model)
    optimizer = build_optimizer(scalar, Rates())
    objective = Preference(scalar, pairs(chat, 12, "keeps"), [], 8, chat.pad, seed=1)
    with Engine(scalar, optimizer) as engine:
        figures = [objective.step(engine, n) for n in range(6)]
    assert list(figures[0]) == ["loss", "accuracy", "gradient"]
    assert figures[-1]["loss"] < figures[0]["loss"] and figures[-1]["accuracy"] == 1
