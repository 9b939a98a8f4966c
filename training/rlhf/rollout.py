"""Answers of a policy to prompts, and what the models say of their tokens.

Shapes: B answers, S longest prompt with its answer, A longest answer, V vocabulary, D width.
Figures a token are stored from the answer's first token on, padded at the right: (B, A).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.training.chat_template import Chat, Dialogue
from headrace.training.generate import rollout
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.losses import token_logprobs


@dataclass(frozen=True)
class Answers:
    """Sampled answers to B prompts."""

    dialogues: list[Dialogue]
    """Prompt and answer; with `<|end|>` where the policy gave it."""
    ended: list[bool]
    """Whether it did."""
    ids: Tensor
    """(B, S) prompts and answers, padded at the right."""
    index: Tensor
    """(B, A) position in `ids` of the state before each answer token; its action stands behind."""
    mask: Tensor
    """(B, A) float, 1 at answer tokens."""
    drawn: Tensor
    """(B, A) log-probability of each answer token when it was drawn, 0 behind the last."""

    def actions(self) -> Tensor:
        """Return the answer tokens (B, A)."""
        return self.ids.gather(1, self.index + 1)

    def select(self, rows: Sequence[int]) -> Answers:
        """Return the answers of some rows."""
        at = torch.tensor(rows)
        return Answers(
            [self.dialogues[i] for i in rows],
            [self.ended[i] for i in rows],
            self.ids[at],
            self.index[at],
            self.mask[at],
            self.drawn[at],
        )

    def closed(self, end: int) -> list[Dialogue]:
        """Close the dialogues with `end` where they broke off: as the reward model reads them."""
        return [
            d if ended else Dialogue([*d.ids, end], d.start)
            for d, ended in zip(self.dialogues, self.ended, strict=True)
        ]


def collect(
    dialogues: Sequence[Dialogue],
    ended: Sequence[bool],
    pad: int,
    drawn: Sequence[Tensor] | None = None,
) -> Answers:
    """Answers from dialogues that are known, `drawn` (a row an answer) with them or 0."""
    S = max(len(d.ids) for d in dialogues)
    A = max(len(d.ids) - d.start for d in dialogues)
    ids = torch.full((len(dialogues), S), pad, dtype=torch.int64)
    for row, d in enumerate(dialogues):
        ids[row, : len(d.ids)] = torch.tensor(d.ids)
    start = torch.tensor([d.start for d in dialogues])
    length = torch.tensor([len(d.ids) - d.start for d in dialogues])
    steps = torch.arange(A)
    mask = (steps < length[:, None]).float()
    index = (start[:, None] - 1 + steps).clamp(max=S - 2)
    logprobs = torch.zeros(mask.shape)
    for row, given in enumerate(drawn or []):
        logprobs[row, : len(given)] = given
    return Answers(list(dialogues), list(ended), ids, index, mask, logprobs)


def answer(
    policy: MoEForCausalLM,
    chat: Chat,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> Answers:
    """Return the policy's answers to prompts (ids up to where the assistant speaks)."""
    made = rollout(
        policy,
        prompts,
        max_new_tokens=max_new_tokens,
        pad=chat.pad,
        stop=[chat.end],
        temperature=temperature,
        seed=seed,
    )
    dialogues = []
    for row, mask in zip(made.ids, made.mask, strict=True):
        start = int(mask.float().argmax())
        dialogues.append(Dialogue(row[: start + int(mask.sum())].tolist(), start))
    drawn = [row[mask] for row, mask in zip(made.logprobs, made.mask, strict=True)]
    return collect(dialogues, [d.ids[-1] == chat.end for d in dialogues], chat.pad, drawn)


def logits(policy: MoEForCausalLM, answers: Answers, temperature: float) -> Tensor:
    """Return the logits (B, A, V) from which each answer token was drawn.

    The head is applied to the answers' positions only: prompts need no logits.
    """
    states = policy.hidden(answers.ids[:, :-1])
    return policy.logits(at(states, answers.index)) / temperature


def logprobs(policy: MoEForCausalLM, answers: Answers, temperature: float) -> Tensor:
    """Log-probability (B, A) of each answer token, 0 behind the last."""
    given = logits(policy, answers, temperature)
    return token_logprobs(given, answers.actions()) * answers.mask


@torch.no_grad()
def experts(policy: MoEForCausalLM, answers: Answers) -> Tensor:
    """Experts (L, B, A, k), ascending, to which each layer with routing sends each answer token."""
    found: list[Tensor] = []
    hooks = [
        router.register_forward_hook(lambda _module, _input, out: found.append(out[0]))
        for router in policy.routers()
    ]
    try:
        policy.hidden(answers.ids[:, :-1])
    finally:
        for hook in hooks:
            hook.remove()
    B, S = answers.ids.shape
    return torch.stack(
        [at(chosen.sort(dim=1)[0].view(B, S - 1, -1), answers.index) for chosen in found]
        or [answers.index.new_zeros(*answers.index.shape, 0)]
    )


def at(states: Tensor, index: Tensor) -> Tensor:
    """States (B, A, D) at the positions `index` (B, A) of `states` (B, S, D)."""
    B, S, D = states.shape
    flat = (index + torch.arange(B, device=index.device)[:, None] * S).flatten()
    return states.reshape(B * S, D).index_select(0, flat).view(B, -1, D)
