"""PPO: the SFT policy learns to please the reward model without straying from where it began.

A round: sample answers to prompts; reward each token with the KL penalty (k1 estimator) and the
last one with the reward model's score (Ouyang et al. 2022); estimate advantages with GAE and
whiten them; then some epochs of the clipped objective (Schulman et al. 2017), ended early where
the policy has moved too far, with pretraining rows mixed in (PPO-ptx). The penalty's weight is
steered to a target (Ziegler et al. 2019). An answer that was cut off is scored as if it ended
there, so that the reward model sees an unfinished sentence.

The gain is told by the gold rule (rule_reward.py), which nothing here optimises.

Run: python -m headrace.training.rlhf.ppo job.json (a PPOJob).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace.infra import console
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import job_main
from headrace.training.engine import Engine, prepare
from headrace.training.identity import deciding_weights
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import set_rate
from headrace.training.rlhf import advantages, kl, losses, rollout
from headrace.training.rlhf.alignment_run import Stage, identity, local_folder, paired
from headrace.training.rlhf.chat_template import Chat
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.jobs import PPOJob
from headrace.training.rlhf.policy_eval import Judgement, judge
from headrace.training.rlhf.pretraining_mix import Replay
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.reward_trainer import load_reward, padded
from headrace.training.rlhf.rollout import Answers
from headrace.training.rlhf.settings import PPOSettings
from headrace.training.rlhf.sft import HELDOUT_ROWS, LEAST_ROWS


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


class Trainer:
    """The models of a run, and the two halves of a round."""

    def __init__(
        self, settings: PPOSettings, chat: Chat, both: ActorCritic, reference: MoEForCausalLM,
        reward: ScalarModel, replay: Replay | None, seed: int,
    ) -> None:  # fmt: skip
        self.settings, self.chat, self.both = settings, chat, both
        self.reference, self.reward, self.replay, self.seed = reference, reward, replay, seed
        k = settings.kl
        self.control = kl.Controller(k.coefficient, k.target, k.rate)

    @torch.no_grad()
    def explore(self, prompts: list[list[int]], number: int) -> Experience:
        """Answers to a round's prompts with rewards, values and advantages."""
        s, chat = self.settings, self.chat
        dice = np.random.default_rng([self.seed, number])
        answers = rollout.answer(
            self.both.policy, chat, prompts, max_new_tokens=s.max_new_tokens,
            temperature=s.temperature, seed=int(dice.integers(2**62)),
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
        """The figures of each optimizer step of a round."""
        s = self.settings
        n = len(e.answers.ended)
        steps = math.ceil(n / s.minibatch)
        seen: list[dict[str, float]] = []
        for epoch in range(s.epochs):
            shuffled = np.random.default_rng([self.seed, number, epoch]).permutation(n).tolist()
            for start in range(0, n, s.minibatch):
                rows = shuffled[start : start + s.minibatch]
                taken = (number * s.epochs + epoch) * steps + start // s.minibatch
                figures = self._step(e, rows, engine, taken)
                seen.append(figures)
                if figures["moved"] > s.stop_kl:
                    return seen
        return seen

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


def ppo(job: PPOJob) -> dict[str, Any]:
    """{`export`, `stage`, `metrics`} of the finished run; resumes or returns what is there.

    The metric is the share of answers to held-out prompts that pass the gold rule, sampled with
    the same seeds before and after, with the gain's interval over prompts. `optimised` is the
    reward model's own score, which is no evidence of a gain.

    Raises:
        InputError, ValidationError, UsageError: see examples.read, load_reward, Replay and Stage;
            also where policy and reward model have different tokenizers.
    """
    s = job.settings
    base, judge_folder = (
        local_folder(job.model, "the model"),
        local_folder(job.reward, "the reward"),
    )
    decided_by = identity("ppo", job)
    stage = Stage(job.output, decided_by)
    done = stage.result()
    # Other settings of the evaluation alone: the policy is judged again and not trained.
    if done and done["metrics"]["samples"] == s.evaluation_samples:
        return done
    prepare(job.seed)
    policy, reference = export.load(base), export.load(base).requires_grad_(False)
    reward = load_reward(judge_folder).requires_grad_(False)
    tokenizer = export.load_tokenizer(base)
    if export.load_tokenizer(judge_folder).get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"{job.reward} has another tokenizer than {job.model}",
            "train the reward model from the same SFT model",
        )
    chat = Chat.of(tokenizer, policy.config.max_position_embeddings)
    data = examples.read(job.data, examples.PPO, s.heldout, LEAST_ROWS)
    held = [r["prompt"] for r in data.heldout]
    # Not the rows of SFT, which has the same seed.
    replay = Replay(job.replay, base, [job.seed, 1]) if job.replay else None

    def judged(against: MoEForCausalLM | None) -> Judgement:
        return judge(
            policy, against, reward, chat, held, samples=s.evaluation_samples,
            max_new_tokens=s.max_new_tokens, temperature=s.temperature,
        )  # fmt: skip

    def language() -> float | None:
        return replay.bits_per_byte(policy, tokenizer, HELDOUT_ROWS) if replay else None

    with console.Progress("PPO: SFT policy on held-out prompts"):
        once = f"before-{s.evaluation_samples}"
        before = Judgement.from_json(stage.once(once, lambda: judged(None).to_json()))
        drift_before = stage.once("language", language)
    trainer = Trainer(s, chat, ActorCritic(policy), reference, reward, replay, job.seed)
    _train(job, stage, trainer, chat.prompts([r["prompt"] for r in data.train], s.max_new_tokens))
    with console.Progress("PPO: new policy on held-out prompts"):
        after, drift_after = judged(reference), language()

    metrics = {
        "name": "gold_pass",
        "better": "higher",
        "before": float(before.passed.mean()),
        "after": float(after.passed.mean()),
        **paired(before.passed, after.passed, job.seed),
        "n": len(held),
        "samples": s.evaluation_samples,
        "checks": {
            c: {"before": v, "after": after.figures["checks"][c]}
            for c, v in before.figures["checks"].items()
        },
        "optimised": {"before": before.figures["score"], "after": after.figures["score"]},
        "kl": after.figures["kl"],
        "length": {"before": before.figures["length"], "after": after.figures["length"]},
        "distinct": {"before": before.figures["distinct"], "after": after.figures["distinct"]},
        "language": {"before": drift_before, "after": drift_after},
    }
    card = export.Card(
        stage="ppo",
        lineage={
            **job.lineage,
            "model_sha256": decided_by["model"],
            "reward_sha256": decided_by["reward"],
            "seed": job.seed,
        },
        metrics={
            k: metrics[k] for k in ("name", "before", "after", "gain", "low", "high", "n", "kl")
        },
        settings=deciding_weights(s),
    )
    export.save(policy, stage.export, base, card, chat.format)
    return stage.finish(metrics)


def _train(job: PPOJob, stage: Stage, trainer: Trainer, prompts: list[list[int]]) -> None:
    s = job.settings
    trainer.both.freeze_routing()
    optimizer = trainer.both.optimizer(s.optimizer, s.gain_learning_rate, s.critic_learning_rate)
    number, extra = stage.resume(trainer.both, optimizer)
    trainer.control.coefficient = extra.get("coefficient", trainer.control.coefficient)
    with (
        Engine(trainer.both, optimizer, clip=s.clip) as engine,
        console.Progress("PPO", s.iterations, "rounds") as progress,
    ):
        progress.done = number
        while number < s.iterations:
            set_rate(optimizer, number, s.iterations)
            experience = trainer.explore(_round(prompts, s.rollouts, number, job.seed), number)
            figures = trainer.learn(experience, engine, number)
            coefficient = trainer.control.coefficient
            trainer.control.update(experience.figures["kl"])
            number += 1
            stage.record(number, **experience.figures, **figures, coefficient=coefficient)
            progress.advance(
                note=f"reward {experience.figures['reward']:+.2f}, "
                f"KL {experience.figures['kl']:.2f} nats"
            )
            stage.save(
                number, trainer.both, optimizer, s.checkpoint, number == s.iterations,
                {"coefficient": trainer.control.coefficient},
            )  # fmt: skip


def _round(prompts: list[list[int]], size: int, number: int, seed: int) -> list[list[int]]:
    """The prompts of a round: each one once before any comes again."""
    first = number * size
    out: list[list[int]] = []
    while len(out) < size:
        epoch, at = divmod(first + len(out), len(prompts))
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(prompts))
        out += [prompts[i] for i in order[at : at + size - len(out)]]
    return out


if __name__ == "__main__":
    job_main(PPOJob, ppo)
