"""Evaluate a policy on held-out prompts: by the rule reward, and what else is worth knowing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from headrace.infra.subprocess_jobs import JobResult
from headrace.training.chat_template import Chat
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf import kl, rollout, rule_reward
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.reward_trainer import score_dialogues

Floats = npt.NDArray[np.float64]
SEED = 20_170_707
"""Seed of the first sample to a prompt; the same before and after, so that chance is shared."""


class PolicyFigures(JobResult):
    """Means over all answers."""

    score: float
    """Log odds of being preferred, by the reward model."""
    kl: float
    """Divergence of a whole answer from the reference, in nats."""
    length: float
    """Tokens per answer."""
    distinct: float
    """Share of distinct answers."""
    checks: dict[str, float]
    """Share of the answers that hold each check of the rule reward."""


class PolicyEval(JobResult):
    """Figures of N prompts with some samples each."""

    passed: tuple[float, ...]
    """Share of each prompt's answers that pass the rule reward."""
    figures: PolicyFigures

    @property
    def values(self) -> Floats:
        """`passed` as an array (N,)."""
        return np.array(self.passed)


@torch.inference_mode()
def evaluate_policy(
    policy: MoEForCausalLM,
    reference: MoEForCausalLM | None,
    reward: ScalarModel,
    chat: Chat,
    prompts: Sequence[str],
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float,
) -> PolicyEval:
    """Judge `samples` answers to each prompt, with seeds that are always the same.

    `kl` is the divergence of a whole answer from the reference in nats, computed over the
    vocabulary at each position of the first answers (0 without a reference: the policy itself);
    `score` is the reward model's mean score.
    """
    encoded = chat.prompts(prompts, max_new_tokens)
    passed, shares, scores, kls, lengths = [], [], [], [], []
    texts: list[str] = []
    for n in range(samples):
        answers = rollout.answer(
            policy,
            chat,
            encoded,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=SEED + n,
        )
        said = [chat.text(d.ids[d.start :]) for d in answers.dialogues]
        ok, share = rule_reward.passes(prompts, said, answers.ended)
        passed.append(ok)
        shares.append(share)
        scores.append(score_dialogues(reward, answers.closed(chat.end), chat.pad))
        lengths.append(answers.mask.sum(1))
        texts += said
        if reference is not None and n == 0:
            for start in range(0, len(prompts), 32):
                part = answers.select(range(start, min(start + 32, len(prompts))))
                p, q = (rollout.logits(m, part, temperature) for m in (policy, reference))
                kls.append((kl.exact(p, q) * part.mask).sum(1))
    figures = PolicyFigures(
        score=float(np.mean(scores)),
        kl=float(torch.cat(kls).mean()) if kls else 0.0,
        length=float(torch.cat(lengths).mean()),
        distinct=len(set(texts)) / len(texts),
        checks={c: float(np.mean([s[c] for s in shares])) for c in rule_reward.CHECKS},
    )
    return PolicyEval(passed=tuple(np.mean(passed, axis=0).tolist()), figures=figures)
