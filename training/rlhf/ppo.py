"""PPO: the SFT policy learns to please the reward model (ppo_objective.py).

The weight of the penalty for straying from the SFT policy is steered to a target (Ziegler et al.
2019). The gain is measured by the rule reward (rule_reward.py), which nothing here optimizes.

Run: python -m headrace.training.rlhf.ppo job.json (a PPOJob).
"""

from __future__ import annotations

from headrace.infra import console
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import job_main
from headrace.training.chat_template import Chat
from headrace.training.engine import prepare
from headrace.training.identity import deciding_weights
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.results import Change, PPOMetrics, StageResult
from headrace.training.rlhf import stages
from headrace.training.rlhf.alignment_run import StageRun, identify
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.gain import paired
from headrace.training.rlhf.jobs import PPOJob
from headrace.training.rlhf.kl_control import KLControl
from headrace.training.rlhf.policy_eval import PolicyEval, evaluate_policy
from headrace.training.rlhf.ppo_objective import PPO
from headrace.training.rlhf.pretraining_mix import Replay
from headrace.training.rlhf.reward_trainer import load_reward
from headrace.training.rlhf.sft import HELDOUT_ROWS, LEAST_ROWS


def ppo(job: PPOJob) -> StageResult[PPOMetrics]:
    """Train, or resume, or return the result of a run that is finished.

    The metric is the share of answers to held-out prompts that pass the rule reward, sampled with
    the same seeds before and after, with the gain's interval over prompts.

    Raises:
        InputError, ValidationError, UsageError: see examples.read, load_reward, Replay and
            StageRun; also where policy and reward model have different tokenizers.
    """
    s = job.settings
    base, judge_folder = (
        local_folder(job.model, "the model"),
        local_folder(job.reward, "the reward"),
    )
    decided_by = identify(stages.PPO.name, job)
    run = StageRun(job.output, decided_by, PPOMetrics)
    done = run.result()
    # Other settings of the evaluation alone: the policy is judged again and not trained.
    if done and done.metrics.samples == s.evaluation_samples:
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
    data = examples.read(job.data, stages.PPO.columns, s.heldout, LEAST_ROWS)
    held = [r["prompt"] for r in data.heldout]
    # Not the rows of SFT, which has the same seed.
    replay = Replay(job.replay, base, [job.seed, 1]) if job.replay else None

    def judged(against: MoEForCausalLM | None) -> PolicyEval:
        return evaluate_policy(
            policy, against, reward, chat, held, samples=s.evaluation_samples,
            max_new_tokens=s.max_new_tokens, temperature=s.temperature,
        )  # fmt: skip

    def language() -> float | None:
        return replay.bits_per_byte(policy, tokenizer, HELDOUT_ROWS) if replay else None

    with console.Progress("PPO: SFT policy on held-out prompts"):
        once = f"before-{s.evaluation_samples}"
        before = PolicyEval.model_validate(run.once(once, lambda: judged(None).as_json()))
        language_before = run.once("language", language)
    prompts = chat.prompts([r["prompt"] for r in data.train], s.max_new_tokens)
    both = ActorCritic(policy)
    objective = PPO(s, chat, both, reference, reward, replay, prompts, job.seed)
    both.freeze_routing()
    run.trainer(
        objective,
        both.optimizer(s.optimizer, s.gain_learning_rate, s.critic_learning_rate),
        s.iterations,
        title="PPO",
        unit="rounds",
        clip=s.clip,
        saving=s.checkpoint,
        callbacks=[KLControl(objective.control)],
    ).train()
    with console.Progress("PPO: new policy on held-out prompts"):
        after, language_after = judged(reference), language()

    metrics = _metrics(
        before, after, s.evaluation_samples, job.seed, language_before, language_after
    )
    card = export.Card(
        stage=stages.PPO.name,
        lineage={
            **job.lineage,
            "model_sha256": decided_by.model,
            "reward_sha256": decided_by.reward,
            "seed": job.seed,
        },
        metrics=metrics.shown() | {"kl": metrics.kl},
        settings=deciding_weights(s),
    )
    export.save(policy, run.export, base, card, chat.format)
    return run.finish(metrics)


def _metrics(
    before: PolicyEval,
    after: PolicyEval,
    samples: int,
    seed: int,
    language_before: float | None,
    language_after: float | None,
) -> PPOMetrics:
    gain = paired(before.values, after.values, seed)
    was, now = before.figures, after.figures
    return PPOMetrics(
        name=stages.PPO.measure,
        better="higher",
        before=float(before.values.mean()),
        after=float(after.values.mean()),
        gain=gain.value,
        low=gain.low,
        high=gain.high,
        n=len(before.passed),
        samples=samples,
        checks={c: Change(before=v, after=now.checks[c]) for c, v in was.checks.items()},
        optimised=Change(before=was.score, after=now.score),
        kl=now.kl,
        length=Change(before=was.length, after=now.length),
        distinct=Change(before=was.distinct, after=now.distinct),
        language=Change(before=language_before, after=language_after),
    )


if __name__ == "__main__":
    job_main(PPOJob, ppo)
