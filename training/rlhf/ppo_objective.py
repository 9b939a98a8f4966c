"""The objective of PPO: please the reward model without straying from the SFT policy.

A round: sample answers to prompts; reward each token with the KL penalty (k1 estimator) and the
last one with the reward model's score (Ouyang et al. 2022); estimate advantages with GAE and
whiten them; then some epochs of the clipped objective (Schulman et al. 2017), ended early where
the policy has moved too far, with pretraining rows mixed in (PPO-ptx). An answer that was cut off
is scored as if it ended there, so that the reward model sees an unfinished sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace.training.chat_template import Chat, padded
from headrace.training.engine import Engine
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.objective import Objective
from headrace.training.rlhf import advantages, kl, losses, rollout
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.rlhf.pretraining_mix import Replay
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.rollout import Answers
from headrace.training.rlhf.settings import PPOSettings


@dataclass(frozen=True)
class Experience:
    """A round's answers and what is held fixed while the policy learns from them."""

    answers: Answers
    logprobs: Tensor
    """(B, A) log pi_old(a|s)"""
    states: Tensor
    """(B, A, D) the reward model's states before each token"""
    values: Tensor
    """(B, A) V_old(s)"""
    advantages: Tensor
    """(B, A) whitened"""
    returns: Tensor
    """(B, A)"""
    figures: dict[str, float]
    """Means over the round: reward, kl, length, ended."""


class PPO(Objective):
    """Rounds of answers and updates; a step is a round.

    Args:
        settings: of the stage.
        chat: the format of prompts and answers.
        both: the policy and the critic, which are trained.
        reference: the SFT policy, to which the policy is held.
        reward: scores the answers.
        replay: pretraining text mixed into each update; None: none.
        prompts: ids of all prompts.
        seed: seed of everything random.
    """

    def __init__(
        self,
        settings: PPOSettings,
        chat: Chat,
        both: ActorCritic,
        reference: MoEForCausalLM,
        reward: ScalarModel,
        replay: Replay | None,
        prompts: Sequence[list[int]],
        seed: int,
    ) -> None:
        self.settings, self.chat, self.both, self.model = settings, chat, both, both
        self.reference, self.reward, self.replay = reference, reward, replay
        self.prompts, self.seed = prompts, seed
        k = settings.kl
        self.control = kl.Controller(k.coefficient, k.target, k.rate)

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        """Explore with a round's prompts and learn from the answers."""
        prompts = prompts_of_round(self.prompts, self.settings.rollouts, number, self.seed)
        experience = self.explore(prompts, number)
        return experience.figures | self.learn(experience, engine, number)

    def note(self, figures: dict[str, float]) -> str:
        """Mean reward and divergence of the round."""
        return f"reward {figures['reward']:+.2f}, KL {figures['kl']:.2f} nats"

    @torch.no_grad()
    def explore(self, prompts: list[list[int]], number: int) -> Experience:
        """Answers to a round's prompts with rewards, values and advantages."""
        s, chat = self.settings, self.chat
        rng = np.random.default_rng([self.seed, number])
        answers = rollout.answer(
            self.both.policy, chat, prompts, max_new_tokens=s.max_new_tokens,
            temperature=s.temperature, seed=int(rng.integers(2**62)),
        )  # fmt: skip
        mask = answers.mask
        ids, start, last = padded(answers.closed(chat.end), chat.pad)
        hidden = self.reward.states(ids)
        score = self.reward.scaled(self.reward.pooled(hidden, start, last))
        states = rollout.at(hidden, answers.index)
        values = self.both.values(states) * mask
        old = answers.drawn
        first = rollout.logprobs(self.reference, answers, s.temperature)
        penalty = kl.k1(old, first) * mask
        rewards = advantages.token_rewards(
            score.clamp(-s.reward_clip, s.reward_clip), penalty, mask, self.control.coefficient
        )
        gained, returns = advantages.generalised(rewards, values, mask, s.gamma, s.lam)
        figures = {
            "reward": float(score.mean()),
            "kl": float(penalty.sum(1).mean()),
            "kl_k3": float((kl.k3(old, first) * mask).sum(1).mean()),
            "length": float(mask.sum(1).mean()),
            "ended": float(np.mean(answers.ended)),
        }
        return Experience(
            answers, old, states, values, advantages.whiten(gained, mask), returns, figures
        )

    def learn(self, e: Experience, engine: Engine, number: int) -> dict[str, float]:
        """Update policy and critic from a round; means over its optimizer steps.

        `rerouted` is the share of answer tokens that some layer sends to other experts after the
        updates than when they were drawn.
        """
        policy, answers = self.both.policy, e.answers
        before = rollout.experts(policy, answers)
        figures = _means(self._updates(e, engine, number))
        moved = (rollout.experts(policy, answers) != before).any(-1).any(0)
        return figures | {"rerouted": float(losses.masked_mean(moved.float(), answers.mask))}

    def _updates(self, e: Experience, engine: Engine, number: int) -> list[dict[str, float]]:
        """Return the figures of each optimizer step of a round."""
        s = self.settings
        n = len(e.answers.ended)
        steps = math.ceil(n / s.minibatch)
        all_figures: list[dict[str, float]] = []
        for epoch in range(s.epochs):
            shuffled = np.random.default_rng([self.seed, number, epoch]).permutation(n).tolist()
            for start in range(0, n, s.minibatch):
                rows = shuffled[start : start + s.minibatch]
                taken = (number * s.epochs + epoch) * steps + start // s.minibatch
                figures = self._step(e, rows, engine, taken)
                all_figures.append(figures)
                if figures["moved"] > s.stop_kl:
                    return all_figures
        return all_figures

    def _step(
        self, e: Experience, rows: list[int], engine: Engine, number: int
    ) -> dict[str, float]:
        s, at = self.settings, torch.tensor(rows)
        answers = e.answers.select(rows)
        mask, old = answers.mask, e.logprobs[at]
        figures: dict[str, float] = {}
        if self.replay and s.replay_rows:
            language = self.replay.loss(self.both.policy, number, s.replay_rows)
            engine.backward(s.replay_weight * language)
            figures["language_loss"] = language.item()
        new = rollout.logprobs(self.both.policy, answers, s.temperature)
        surrogate, clipped = losses.clipped_policy(new, old, e.advantages[at], mask, s.clip_ratio)
        value = losses.clipped_value(
            self.both.values(e.states[at]), e.values[at], e.returns[at], mask, s.clip_value
        )
        engine.backward(surrogate + value)
        moved = losses.masked_mean(kl.k3(old, new.detach()), mask)
        return figures | {
            "loss": surrogate.item(),
            "value_loss": value.item(),
            "clip_fraction": clipped.item(),
            "moved": moved.item(),
            "gradient": engine.update(),
        }


def _means(seen: list[dict[str, float]]) -> dict[str, float]:
    out = {k: float(np.mean([f[k] for f in seen])) for k in seen[0]}
    return out | {"updates": float(len(seen))}


def prompts_of_round(
    prompts: Sequence[list[int]], size: int, number: int, seed: int
) -> list[list[int]]:
    """Return the prompts of a round: each one once before any comes again."""
    first = number * size
    out: list[list[int]] = []
    while len(out) < size:
        epoch, at = divmod(first + len(out), len(prompts))
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(prompts))
        out += [prompts[i] for i in order[at : at + size - len(out)]]
    return out
