"""Supervised fine-tuning: the base model learns to answer in the chat format.

The loss is the mean negative log-likelihood of the response's tokens, `<|end|>` included, given
the prompt; rows of pretraining text are mixed in at their own mean loss, weighed by their share of
the step's answers and rows. The routers' selection biases stay as pretraining left them.

Run: python -m headrace.training.rlhf.sft job.json (an SFTJob).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from headrace.infra import console
from headrace.infra.subprocess_jobs import job_main
from headrace.training.chat_template import Chat, Dialogue, batch
from headrace.training.engine import prepare
from headrace.training.identity import deciding_weights
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer
from headrace.training.results import Change, SFTMetrics, StageResult
from headrace.training.rlhf import losses, stages
from headrace.training.rlhf.alignment_run import StageRun, identify
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.gain import paired_ratio
from headrace.training.rlhf.jobs import SFTJob
from headrace.training.rlhf.pretraining_mix import Replay
from headrace.training.rlhf.supervised import Supervised

Floats = npt.NDArray[np.float64]
LEAST_ROWS = 16
HELDOUT_ROWS = 64
"""Held-out rows of pretraining text on which the language model's drift is measured."""


@torch.inference_mode()
def response_nats(model: MoEForCausalLM, dialogues: list[Dialogue], pad: int) -> Floats:
    """Nats of each dialogue's response without its end mark, given the prompt, shape (N,)."""
    out = np.zeros(len(dialogues))
    by_length = sorted(range(len(dialogues)), key=lambda i: len(dialogues[i].ids))
    for start in range(0, len(by_length), 32):
        rows = by_length[start : start + 32]
        inputs, targets, mask = batch([dialogues[i] for i in rows], pad)
        for row, i in enumerate(rows):
            mask[row, len(dialogues[i].ids) - 2] = 0  # the end mark is no text
        nats = -(losses.token_logprobs(model(inputs), targets) * mask).double().sum(1)
        out[rows] = nats.numpy()
    return out


def sft(job: SFTJob) -> StageResult[SFTMetrics]:
    """Train, or resume, or return the result of a run that is finished.

    The metric is the held-out responses' bits per byte given their prompts (lower is better), with
    the gain's interval over prompts.

    Raises:
        InputError, ValidationError, UsageError: see examples.read, Replay and StageRun.
    """
    s = job.settings
    base = local_folder(job.model, "the model")
    decided_by = identify(stages.SFT.name, job)
    run = StageRun(job.output, decided_by, SFTMetrics)
    if done := run.result():
        return done
    prepare(job.seed)
    model, tokenizer = export.load(base), export.load_tokenizer(base)
    chat = Chat.of(tokenizer, model.config.max_position_embeddings)
    data = examples.read(job.data, stages.SFT.columns, s.heldout, LEAST_ROWS)
    train, held = (
        chat.dialogues([r["prompt"] for r in part], [r["response"] for r in part])
        for part in (data.train, data.heldout)
    )
    sizes = np.array([len(r["response"].encode()) for r in data.heldout], dtype=np.float64)
    replay = Replay(job.replay, base, [job.seed]) if job.replay else None

    def language() -> float | None:
        return replay.bits_per_byte(model, tokenizer, HELDOUT_ROWS) if replay else None

    with console.Progress("SFT: base model on held-out prompts"):
        before = run.once("before", lambda: response_nats(model, held, chat.pad).tolist())
        language_before = run.once("language", language)
    run.trainer(
        Supervised(model, train, s.batch, chat.pad, job.seed, replay, s.replay_rows),
        build_optimizer(model, s.optimizer),
        s.steps,
        title="SFT",
        clip=s.clip,
        saving=s.checkpoint,
    ).train()
    with console.Progress("SFT: tuned model on held-out prompts"):
        after, language_after = response_nats(model, held, chat.pad), language()

    was, bits = np.array(before), np.log(2) * sizes
    gain = paired_ratio(was, after, bits, job.seed)
    metrics = SFTMetrics(
        name=stages.SFT.measure,
        better="lower",
        before=float(was.sum() / bits.sum()),
        after=float(after.sum() / bits.sum()),
        gain=gain.value,
        low=gain.low,
        high=gain.high,
        n=len(held),
        language=Change(before=language_before, after=language_after),
    )
    card = export.Card(
        stage=stages.SFT.name,
        lineage={**job.lineage, "model_sha256": decided_by.model, "seed": job.seed},
        metrics=metrics.shown(),
        settings=deciding_weights(s),
    )
    export.save(model, run.export, base, card, chat.format)
    return run.finish(metrics)


if __name__ == "__main__":
    job_main(SFTJob, sft)
