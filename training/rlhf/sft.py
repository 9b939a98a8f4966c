"""Supervised fine-tuning: the base model learns to answer in the chat format.

The loss is the mean negative log-likelihood of the response's tokens, `<|end|>` included, given
the prompt; rows of pretraining text are mixed in at their own mean loss, weighed by their share of
the step's answers and rows. The routers' selection biases stay as pretraining left them.

Run: python -m headrace.training.rlhf.sft job.json (an SFTJob).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headrace.infra import console
from headrace.infra.subprocess_jobs import job_main
from headrace.training.engine import Engine, prepare
from headrace.training.identity import deciding_weights
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer, set_rate
from headrace.training.rlhf import losses
from headrace.training.rlhf.alignment_run import (
    Batches,
    Stage,
    identity,
    local_folder,
    paired_ratio,
)
from headrace.training.rlhf.chat_template import Chat, Dialogue, batch
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.jobs import SFTJob
from headrace.training.rlhf.pretraining_mix import Replay

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


def sft(job: SFTJob) -> dict[str, Any]:
    """{`export`, `stage`, `metrics`} of the finished run; resumes or returns what is there.

    The metric is the held-out responses' bits per byte given their prompts (lower is better), with
    the gain's interval over prompts.

    Raises:
        InputError, ValidationError, UsageError: see examples.read, Replay and Stage.
    """
    s = job.settings
    base = local_folder(job.model, "the model")
    decided_by = identity("sft", job)
    stage = Stage(job.output, decided_by)
    if done := stage.result():
        return done
    prepare(job.seed)
    model, tokenizer = export.load(base), export.load_tokenizer(base)
    chat = Chat.of(tokenizer, model.config.max_position_embeddings)
    data = examples.read(job.data, examples.SFT, s.heldout, LEAST_ROWS)
    train, held = (
        chat.dialogues([r["prompt"] for r in part], [r["response"] for r in part])
        for part in (data.train, data.heldout)
    )
    sizes = np.array([len(r["response"].encode()) for r in data.heldout], dtype=np.float64)
    replay = Replay(job.replay, base, [job.seed]) if job.replay else None

    def language() -> float | None:
        return replay.bits_per_byte(model, tokenizer, HELDOUT_ROWS) if replay else None

    with console.Progress("SFT: base model on held-out prompts"):
        before = stage.once("before", lambda: response_nats(model, held, chat.pad).tolist())
        drift_before = stage.once("language", language)
    _train(job, stage, model, train, chat, replay)
    with console.Progress("SFT: tuned model on held-out prompts"):
        after, drift_after = response_nats(model, held, chat.pad), language()

    was = np.array(before)
    bits = np.log(2) * sizes
    metrics = {
        "name": "bits_per_byte",
        "better": "lower",
        "before": float(was.sum() / bits.sum()),
        "after": float(after.sum() / bits.sum()),
        **paired_ratio(was, after, bits, job.seed),
        "n": len(held),
        "language": {"before": drift_before, "after": drift_after},
    }
    card = export.Card(
        stage="sft",
        lineage={**job.lineage, "model_sha256": decided_by["model"], "seed": job.seed},
        metrics={k: metrics[k] for k in ("name", "before", "after", "gain", "low", "high", "n")},
        settings=deciding_weights(s),
    )
    export.save(model, stage.export, base, card, chat.format)
    return stage.finish(metrics)


def _train(
    job: SFTJob,
    stage: Stage,
    model: MoEForCausalLM,
    train: list[Dialogue],
    chat: Chat,
    replay: Replay | None,
) -> None:
    s = job.settings
    optimizer = build_optimizer(model, s.optimizer)
    step, _ = stage.resume(model, optimizer)
    batches = Batches([len(d.ids) for d in train], s.batch, job.seed)
    with (
        Engine(model, optimizer, clip=s.clip) as engine,
        console.Progress("SFT", s.steps, "steps") as progress,
    ):
        progress.done = step
        while step < s.steps:
            set_rate(optimizer, step, s.steps)
            figures = {}
            share = 0.0
            if replay and s.replay_rows:
                share = s.replay_rows / (s.replay_rows + s.batch)
                language = replay.loss(model, step, s.replay_rows)
                engine.backward(share * language)
                figures["language_loss"] = language.item()
            inputs, targets, mask = batch([train[i] for i in batches[step]], chat.pad)
            loss = losses.supervised(model(inputs), targets, mask)
            engine.backward((1 - share) * loss)
            figures["loss"] = loss.item()
            figures["gradient"] = engine.update()
            step += 1
            stage.record(step, **figures)
            progress.advance(note=f"loss {figures['loss']:.3f}")
            stage.save(step, model, optimizer, s.checkpoint, step == s.steps)


if __name__ == "__main__":
    job_main(SFTJob, sft)
