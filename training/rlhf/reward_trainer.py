"""The reward model: trained contrastively on preferences, and the scores that it gives.

A scalar head on the SFT model, all of it trained with -log sigma(r_chosen - r_rejected)
(Bradley-Terry; Ouyang et al. 2022, section 3.5). A quarter of each step's pairs set a chosen answer
against the SFT model's own answer to the prompt: faults that only a model makes are in no data. The
held-out accuracy is of the data's pairs alone; that of the others stands beside it (kind
`sampled`). What it is compared with is the order by the SFT model's own likelihood, which needs no
training. Scores are log odds of being preferred; PPO takes them in standard deviations of the
training pairs' scores (`ScalarModel.scaled`), so that it doesn't depend on their scale.

Run: python -m headrace.training.rlhf.reward_trainer job.json (a RewardJob).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headrace.infra import console
from headrace.infra.subprocess_jobs import job_main
from headrace.training.engine import Engine, prepare
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer, set_rate
from headrace.training.rlhf import losses, reward_model, rollout
from headrace.training.rlhf.alignment_run import (
    Batches,
    Stage,
    identity,
    local_folder,
    paired,
)
from headrace.training.rlhf.chat_template import Chat, Dialogue
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.data.examples import KIND, Row
from headrace.training.rlhf.jobs import RewardJob
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.sft import LEAST_ROWS, response_nats

Floats = npt.NDArray[np.float64]
SCALE_PAIRS = 256
"""Training pairs whose scores set the mean and the deviation of the scale."""


def load_reward(folder: str | Path) -> ScalarModel:
    """The reward model of an export folder.

    Raises:
        InputError: none is there.
    """
    return reward_model.load(Path(folder))


def padded(dialogues: Sequence[Dialogue], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """(ids (B, T) padded at the right, first and last position (B,) of each answer)."""
    longest = max(len(d.ids) for d in dialogues)
    ids = torch.full((len(dialogues), longest), pad, dtype=torch.int64)
    for row, d in enumerate(dialogues):
        ids[row, : len(d.ids)] = torch.tensor(d.ids)
    start = torch.tensor([d.start for d in dialogues])
    return ids, start, torch.tensor([len(d.ids) - 1 for d in dialogues])


@torch.inference_mode()
def score_dialogues(model: ScalarModel, dialogues: Sequence[Dialogue], pad: int) -> Floats:
    """Scores (N,) of dialogues that end with `<|end|>`, in log odds of being preferred."""
    out = np.zeros(len(dialogues))
    by_length = sorted(range(len(dialogues)), key=lambda i: len(dialogues[i].ids))
    for start in range(0, len(by_length), 32):
        rows = by_length[start : start + 32]
        out[rows] = model(*padded([dialogues[i] for i in rows], pad)).double().numpy()
    return out


def score(
    model: ScalarModel, tokenizer: Any, prompts: Sequence[str], responses: Sequence[str]
) -> Floats:
    """Scores (N,) of responses to prompts, in log odds of being preferred."""
    chat = Chat.of(tokenizer, model.config.max_position_embeddings)
    return score_dialogues(model, chat.dialogues(prompts, responses), chat.pad)


def _sides(chat: Chat, rows: list[Row]) -> tuple[list[Dialogue], list[Dialogue]]:
    prompts = [r["prompt"] for r in rows]
    return (
        chat.dialogues(prompts, [r["chosen"] for r in rows]),
        chat.dialogues(prompts, [r["rejected"] for r in rows]),
    )


def right(chosen: Floats, rejected: Floats) -> Floats:
    """1 for each pair in the right order, 0 in the wrong one, one half for a tie."""
    return (chosen > rejected) + 0.5 * (chosen == rejected)


def reward(job: RewardJob) -> dict[str, Any]:
    """{`export`, `stage`, `metrics`} of the finished run; resumes or returns what is there.

    The metric is the share of held-out pairs in the right order: before by the SFT model's
    likelihood, after by the reward model, with the gain's interval over pairs. `untrained` is what
    a head of zeros gives, which ties every pair. `margin` is the mean difference of the two sides'
    scores in log odds.

    Raises:
        InputError, ValidationError, UsageError: see examples.read and Stage.
    """
    s = job.settings
    base = local_folder(job.model, "the model")
    decided_by = identity("reward", job)
    stage = Stage(job.output, decided_by)
    if done := stage.result():
        return done
    prepare(job.seed)
    language = export.load(base)
    tokenizer = export.load_tokenizer(base)
    chat = Chat.of(tokenizer, language.config.max_position_embeddings)
    data = examples.read(job.data, examples.REWARD, s.heldout, LEAST_ROWS)
    held = _sides(chat, data.heldout)
    pairs = list(zip(*_sides(chat, data.train), strict=True))
    own = list(zip(*held, strict=True))[: s.sampled]
    with console.Progress("reward model: the SFT model's own answers"):
        sampled = _against_samples(language, chat, pairs[: s.sampled], s.max_new_tokens, job.seed)
        own = _against_samples(language, chat, own, s.max_new_tokens, job.seed + 1)

    with console.Progress("reward model: the SFT model's likelihoods"):
        # What the policy itself holds more likely per token: the judge that needs no training.
        before = np.array(
            stage.once("before", lambda: _by_likelihood(language, held, chat.pad).tolist())
        )
    model = ScalarModel(language).eval()
    _train(job, stage, model, pairs, sampled, chat)
    with console.Progress("reward model: held-out pairs after"):
        _calibrate(model, pairs[:SCALE_PAIRS], chat.pad)
        scores = [score_dialogues(model, x, chat.pad) for x in held]
        after = right(*scores)

        ours = [score_dialogues(model, x, chat.pad) for x in zip(*own, strict=True)]
    kinds = [r.get(KIND, "") for r in data.heldout]
    by_kind = {
        k: {
            "value": float(np.mean([a for a, x in zip(after, kinds, strict=True) if x == k])),
            "n": kinds.count(k),
        }
        for k in sorted(set(kinds) - {""})
    }
    if ours:
        by_kind["sampled"] = {"value": float(right(*ours).mean()), "n": len(own)}
    metrics = {
        "name": "pairwise_accuracy",
        "better": "higher",
        "before": float(before.mean()),
        "after": float(after.mean()),
        **paired(before, after, job.seed),
        "n": len(after),
        "margin": float((scores[0] - scores[1]).mean()),
        "untrained": 0.5,
        "by_kind": by_kind,
    }
    shown = {k: metrics[k] for k in ("before", "after", "gain", "low", "high", "n")}
    lineage = {**job.lineage, "model_sha256": decided_by["model"], "seed": job.seed}
    reward_model.save(model, stage.export, base, lineage, shown)
    return stage.finish(metrics)


def _against_samples(
    model: MoEForCausalLM,
    chat: Chat,
    pairs: list[tuple[Dialogue, Dialogue]],
    max_new_tokens: int,
    seed: int,
) -> list[tuple[Dialogue, Dialogue]]:
    """Pairs of the same chosen answers against the model's own to the same prompts."""
    out = []
    for start in range(0, len(pairs), 64):
        chosen = [good for good, _ in pairs[start : start + 64]]
        made = rollout.answer(
            model,
            chat,
            [good.ids[: good.start] for good in chosen],
            max_new_tokens=max_new_tokens,
            temperature=1.0,
            seed=seed + start,
        )
        closed = made.closed(chat.end)
        out += [(g, b) for g, b in zip(chosen, closed, strict=True) if g.ids != b.ids]
    return out


def _by_likelihood(model: Any, held: tuple[list[Dialogue], list[Dialogue]], pad: int) -> Floats:
    """`right` (N,) of the language model's mean log-likelihoods per token."""
    means = [
        -response_nats(model, side, pad) / [max(1, len(d.ids) - d.start - 1) for d in side]
        for side in held
    ]
    return right(*means)


@torch.inference_mode()
def _calibrate(model: ScalarModel, pairs: list[tuple[Dialogue, Dialogue]], pad: int) -> None:
    """Set the scale so that the scores of these pairs' sides have mean 0 and deviation 1."""
    raw = score_dialogues(model, [d for pair in pairs for d in pair], pad)
    model.mean.fill_(float(raw.mean()))
    model.std.fill_(max(float(raw.std()), 1e-6))


def _train(
    job: RewardJob,
    stage: Stage,
    model: ScalarModel,
    pairs: list[tuple[Dialogue, Dialogue]],
    sampled: list[tuple[Dialogue, Dialogue]],
    chat: Chat,
) -> None:
    s = job.settings
    model.backbone.lm_head.weight.requires_grad_(model.config.tie_word_embeddings)
    optimizer = build_optimizer(model.backbone, s.optimizer)
    # The head starts at zero, and until it has grown the body gets no gradient to speak of.
    lr = s.head_learning_rate
    optimizer.add_param_group(
        {"params": list(model.head.parameters()), "kind": "adamw", "peak": lr, "lr": lr}
    )
    step, _ = stage.resume(model, optimizer)
    # A quarter of a step's pairs are against samples, however few those are beside the data.
    parts = (
        [(pairs, s.batch - s.batch // 4), (sampled, s.batch // 4)]
        if sampled
        else [(pairs, s.batch)]
    )
    batches = [
        (some, Batches([len(a.ids) + len(b.ids) for a, b in some], size, job.seed))
        for some, size in parts
        if size
    ]
    with (
        Engine(model, optimizer, clip=s.clip) as engine,
        console.Progress("reward model", s.steps, "steps") as progress,
    ):
        progress.done = step
        while step < s.steps:
            set_rate(optimizer, step, s.steps)
            here = [some[i] for some, numbers in batches for i in numbers[step]]
            chosen, rejected = zip(*here, strict=True)
            good, bad = model(*padded([*chosen, *rejected], chat.pad)).chunk(2)
            loss = losses.preference(good, bad)
            figures = {
                "loss": loss.item(),
                "accuracy": float((good > bad).float().mean()),
                "gradient": engine.step(loss),
            }
            step += 1
            stage.record(step, **figures)
            progress.advance(note=f"loss {figures['loss']:.3f}")
            stage.save(step, model, optimizer, s.checkpoint, step == s.steps)


if __name__ == "__main__":
    job_main(RewardJob, reward)
