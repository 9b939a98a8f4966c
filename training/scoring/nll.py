"""Negative log-likelihood of documents under a model: nats and bytes, a pair a document.

The first token of a document is predicted from `<|endoftext|>`. A document longer than the
model's context is read in overlapping windows: each scores the tokens that no window before it
scored, with at least a quarter of the context in front of them. Windows are sorted by length and
batched, so that little is padded; the model is causal and padding stands on the right, so neither
changes a score beyond rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from headrace.infra import console

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from headrace.training.moe.model import MoEForCausalLM

BATCH_TOKENS = 4096
"""Most tokens of a batch, padding included: its logits over 2,048 tokens take 32 MB."""


def cut(text: str, max_bytes: int) -> str:
    """Cut `text` to at most `max_bytes` bytes of UTF-8, never inside a character."""
    raw = text.encode("utf-8", "surrogatepass")
    return raw[:max_bytes].decode("utf-8", "ignore") if len(raw) > max_bytes else text


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text with `<|endoftext|>` in front: what is scored is all but the first."""
    if not texts:
        return []
    # A text that spells a special token out is ordinary characters, as in training.
    said = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
    return [[tokenizer.eos_token_id, *row] for row in said["input_ids"]]


def windows(length: int, context: int) -> list[tuple[int, int, int]]:
    """(start, end, first): inputs start…end-1 of a document of `length` ids, targets one further.

    `first` is the first position of the window whose prediction counts. Together the windows
    predict each of the ids 1…length-1 exactly once.
    """
    stride = max(1, context - context // 4)
    out = []
    done = start = 0
    while done < length - 1:
        end = min(start + context, length - 1)
        out.append((start, end, done - start))
        done = end
        start += stride
    return out


@torch.inference_mode()
def score_ids(
    model: torch.nn.Module, documents: Sequence[Sequence[int]], context: int, quiet: bool = False
) -> npt.NDArray[np.float64]:
    """Nats of each document given as ids (the first of them is only read), shape (N,).

    `quiet` leaves progress to the caller, for short calls inside a longer stage.
    """
    jobs = [(d, *w) for d, ids in enumerate(documents) for w in windows(len(ids), context)]
    jobs.sort(key=lambda j: (j[2] - j[1], j[0], j[1]))
    nats = np.zeros(len(documents))
    was_training = model.training
    model.eval()
    total = sum(j[2] - j[1] for j in jobs)
    with nullcontext() if quiet else console.Progress("scoring", total, "tokens") as progress:
        at = 0
        while at < len(jobs):
            size = 1
            while (
                at + size < len(jobs)
                and (jobs[at + size][2] - jobs[at + size][1]) * (size + 1) <= BATCH_TOKENS
            ):
                size += 1
            batch = jobs[at : at + size]
            at += size
            width = batch[-1][2] - batch[-1][1]
            inputs_BT = torch.zeros(size, width, dtype=torch.int64)
            targets_BT = torch.full((size, width), -100)
            for row, (d, start, end, first) in enumerate(batch):
                ids = torch.tensor(documents[d][start : end + 1])
                inputs_BT[row, : end - start] = ids[:-1]
                targets_BT[row, first : end - start] = ids[first + 1 :]
            out = model(inputs_BT)
            logits_BTV = getattr(out, "logits", out)
            losses = torch.nn.functional.cross_entropy(
                logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="none"
            )
            losses_B = losses.double().view(size, width).sum(1)
            for (d, *_), loss in zip(batch, losses_B.tolist(), strict=True):
                nats[d] += loss
            if progress is not None:
                progress.advance(sum(j[2] - j[1] for j in batch))
    model.train(was_training)
    return nats


def context_of(model: MoEForCausalLM) -> int:
    """Return the number of tokens that a model reads at once, from its config."""
    return int(model.config.max_position_embeddings)


def score(
    model: MoEForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    context: int | None = None,
    quiet: bool = False,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(nats (N,), bytes (N,)) of each text; nats / bytes / ln 2 is its bits per byte.

    Args:
        model: maps ids (B, T) to logits (B, T, V), or to an object that has them as `logits`.
        tokenizer: a Hugging Face tokenizer whose end-of-text token is `eos_token`.
        texts: the documents; an empty one gives 0 nats of 0 bytes.
        context: tokens read at once; None: the model's own.
        quiet: whether progress is the caller's.
    """
    nats = score_ids(model, encode(tokenizer, texts), context or context_of(model), quiet)
    sizes = [len(t.encode("utf-8", "surrogatepass")) for t in texts]
    return nats, np.array(sizes, dtype=np.int64)
