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
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from headrace.infra import console
from headrace.infra.subprocess_jobs import job_main
from headrace.training.chat_template import Chat, Dialogue, padded
from headrace.training.engine import prepare
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW, adamw_group, build_optimizer
from headrace.training.results import RewardMetrics, Share, StageResult
from headrace.training.rlhf import reward_model, rollout, stages
from headrace.training.rlhf.alignment_run import StageRun, identify
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.data.examples import KIND, Row
from headrace.training.rlhf.gain import paired
from headrace.training.rlhf.jobs import RewardJob
from headrace.training.rlhf.preference import Preference
from headrace.training.rlhf.reward_model import ScalarModel
from headrace.training.rlhf.settings import RewardSettings
from headrace.training.rlhf.sft import LEAST_ROWS, response_nats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Floats = npt.NDArray[np.float64]
SCALE_PAIRS = 256
"""Training pairs whose scores set the mean and the deviation of the scale."""


def load_reward(folder: str | Path) -> ScalarModel:
    """Load the reward model of an export folder.

    Raises:
        InputError: none is there.
    """
    return reward_model.load(Path(folder))


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
    model: ScalarModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    responses: Sequence[str],
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
    return np.where(chosen == rejected, 0.5, (chosen > rejected).astype(np.float64))


def reward(job: RewardJob) -> StageResult[RewardMetrics]:
    """Train, or resume, or return the result of a run that is finished.

    The metric is the share of held-out pairs in the right order: before by the SFT model's
    likelihood, after by the reward model, with the gain's interval over pairs.

    Raises:
        InputError, ValidationError, UsageError: see examples.read and StageRun.
    """
    s = job.settings
    base = local_folder(job.model, "the model")
    decided_by = identify(stages.REWARD.name, job)
    run = StageRun(job.output, decided_by, RewardMetrics)
    if done := run.result():
        return done
    prepare(job.seed)
    language = export.load(base)
    tokenizer = export.load_tokenizer(base)
    chat = Chat.of(tokenizer, language.config.max_position_embeddings)
    data = examples.read(job.data, stages.REWARD.columns, s.heldout, LEAST_ROWS)
    held = _sides(chat, data.heldout)
    pairs = list(zip(*_sides(chat, data.train), strict=True))
    own = list(zip(*held, strict=True))[: s.sampled]
    with console.Progress("reward model: the SFT model's own answers"):
        sampled = _against_samples(language, chat, pairs[: s.sampled], s.max_new_tokens, job.seed)
        own = _against_samples(language, chat, own, s.max_new_tokens, job.seed + 1)

    with console.Progress("reward model: the SFT model's likelihoods"):
        # What the policy itself holds more likely per token: the judge that needs no training.
        before = np.array(
            run.once("before", lambda: _by_likelihood(language, held, chat.pad).tolist())
        )
    model = ScalarModel(language).eval()
    model.backbone.lm_head.weight.requires_grad_(model.config.tie_word_embeddings)
    run.trainer(
        Preference(model, pairs, sampled, s.batch, chat.pad, job.seed),
        _optimizer(model, s),
        s.steps,
        title="reward model",
        clip=s.clip,
        saving=s.checkpoint,
    ).train()
    with console.Progress("reward model: held-out pairs after"):
        _calibrate(model, pairs[:SCALE_PAIRS], chat.pad)
        chosen, rejected = (score_dialogues(model, side, chat.pad) for side in held)
        ours = [score_dialogues(model, side, chat.pad) for side in zip(*own, strict=True)]

    after = right(chosen, rejected)
    by_kind = _by_kind(after, [r.get(KIND, "") for r in data.heldout])
    if ours:
        by_kind["sampled"] = Share(value=float(right(*ours).mean()), n=len(own))
    gain = paired(before, after, job.seed)
    metrics = RewardMetrics(
        name=stages.REWARD.measure,
        better="higher",
        before=float(before.mean()),
        after=float(after.mean()),
        gain=gain.value,
        low=gain.low,
        high=gain.high,
        n=len(after),
        margin=float((chosen - rejected).mean()),
        untrained=0.5,
        by_kind=by_kind,
    )
    shown = {k: v for k, v in metrics.shown().items() if k != "name"}
    lineage = {**job.lineage, "model_sha256": decided_by.model, "seed": job.seed}
    reward_model.save(model, run.export, base, lineage, shown)
    return run.finish(metrics)


def _by_kind(right_order: Floats, kinds: list[str]) -> dict[str, Share]:
    """Return the share of pairs in the right order, for each kind of rejected answer."""
    kind_of = np.array(kinds)
    return {
        k: Share(value=float(np.mean(right_order[kind_of == k])), n=kinds.count(k))
        for k in sorted(set(kinds) - {""})
    }


def _optimizer(model: ScalarModel, settings: RewardSettings) -> MuonAdamW:
    """Of the body, and at a rate of its own of the head.

    The head starts at zero, and until it has grown the body's gradient is next to nothing.
    """
    optimizer = build_optimizer(model.backbone, settings.optimizer)
    head = adamw_group(model.head.parameters(), settings.head_learning_rate)
    optimizer.add_param_group({**head})
    return optimizer


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


def _by_likelihood(
    model: MoEForCausalLM, held: tuple[list[Dialogue], list[Dialogue]], pad: int
) -> Floats:
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


if __name__ == "__main__":
    job_main(RewardJob, reward)
