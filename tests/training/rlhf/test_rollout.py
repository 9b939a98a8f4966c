"""Answers and what stands beside their tokens, against one plain forward pass an answer."""

from __future__ import annotations

import torch

from headrace.training.chat_template import Chat, Dialogue
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf import rollout
from headrace.training.rlhf.rollout import Answers

PROMPTS = ["The river", "A farmer keeps the valley and more", "Our"]


def some(model: MoEForCausalLM, chat: Chat, seed: int = 3) -> Answers:
    prompts = chat.prompts(PROMPTS, 12)
    return rollout.answer(model, chat, prompts, max_new_tokens=12, temperature=1.0, seed=seed)


def test_log_probabilities_are_those_of_a_forward_pass_alone(
    model: MoEForCausalLM, chat: Chat
) -> None:
    answers = some(model, chat)
    with torch.no_grad():
        got = rollout.logprobs(model, answers, 0.7)
        for row, d in enumerate(answers.dialogues):
            logits = model(torch.tensor([d.ids[:-1]]))[0] / 0.7
            expected = logits.log_softmax(-1)[range(len(d.ids) - 1), d.ids[1:]][d.start - 1 :]
            n = len(d.ids) - d.start
            torch.testing.assert_close(got[row, :n], expected, atol=1e-5, rtol=1e-4)
            assert (got[row, n:] == 0).all()


def test_experts_are_those_of_a_forward_pass_alone(model: MoEForCausalLM, chat: Chat) -> None:
    answers = some(model, chat)
    got = rollout.experts(model, answers)
    assert got.shape == (1, *answers.mask.shape, 2)  # one of the two layers is dense
    (router,) = model.routers()
    for row, d in enumerate(answers.dialogues):
        seen: list[torch.Tensor] = []
        hook = router.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out[0]))
        with torch.no_grad():
            model(torch.tensor([d.ids[:-1]]))
        hook.remove()
        want = seen[0].sort(1)[0][d.start - 1 :]
        assert torch.equal(got[0, row, : len(d.ids) - d.start], want)
    with torch.no_grad():
        router.weight.neg_()
    assert not torch.equal(rollout.experts(model, answers), got)


def test_answers_begin_with_their_prompts_and_end_once(model: MoEForCausalLM, chat: Chat) -> None:
    answers = some(model, chat)
    prompts = chat.prompts(PROMPTS, 12)
    for prompt, d, ended in zip(prompts, answers.dialogues, answers.ended, strict=True):
        assert d.ids[: d.start] == prompt
        assert 1 <= len(d.ids) - d.start <= 12
        assert (chat.end in d.ids[d.start :]) == ended
        assert chat.end not in d.ids[d.start : -1]
    closed = answers.closed(chat.end)
    assert all(d.ids[-1] == chat.end for d in closed)


def test_the_seed_alone_decides(model: MoEForCausalLM, chat: Chat) -> None:
    first = [d.ids for d in some(model, chat).dialogues]
    assert [d.ids for d in some(model, chat).dialogues] == first
    assert [d.ids for d in some(model, chat, seed=4).dialogues] != first


def test_known_dialogues_give_actions_and_mask() -> None:
    answers = rollout.collect([Dialogue([7, 8, 1, 2, 3], 2), Dialogue([9, 4], 1)], [True, False], 0)
    assert answers.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert answers.actions()[0].tolist() == [1, 2, 3]
    assert answers.actions()[1, 0] == 4
    part = answers.select([1])
    assert part.dialogues[0].ids == [9, 4]
    assert part.mask.tolist() == [[1, 0, 0]]


def test_states_are_picked_by_position() -> None:
    states = torch.arange(24.0).view(2, 4, 3)
    got = rollout.at(states, torch.tensor([[0, 3], [2, 2]]))
    assert got[0, 1].tolist() == states[0, 3].tolist()
    assert got[1, 0].tolist() == states[1, 2].tolist()
