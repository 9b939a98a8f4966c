"""A policy judged twice is judged the same; against itself it has not moved."""

from __future__ import annotations

import pytest

from headrace.training.chat_template import Chat
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.policy_eval import PolicyEval, evaluate_policy
from headrace.training.rlhf.reward_model import ScalarModel

PROMPTS = ["Go on: The river", "Go on: A farmer keeps", "Go on: Our city"]


def test_a_policy_against_itself(model: MoEForCausalLM, chat: Chat) -> None:
    def run() -> PolicyEval:
        return evaluate_policy(
            model,
            model,
            ScalarModel(model),
            chat,
            PROMPTS,
            samples=2,
            max_new_tokens=10,
            temperature=1.0,
        )

    first = run()
    assert first.figures.kl == pytest.approx(0, abs=1e-5)
    assert first.figures.score == 0
    assert 1 <= first.figures.length <= 10
    assert first.values.shape == (3,)
    again = PolicyEval.model_validate(run().as_json())
    assert again.passed == first.passed
    assert again.figures == first.figures
