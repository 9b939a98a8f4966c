"""The champion's own answers to prompts: what a round replays so that alignment isn't unlearned.

Training on documents alone undoes alignment: after one round without this, the champion's own
reward model scored answers almost two standard deviations lower (docs/continual.md). The champion's
sampled answers are text of its aligned behaviour. Beside the window the model is held to what the
champion predicts on them, whatever data and stages the alignment was made from (learning without
forgetting: Li and Hoiem 2017, arXiv:1606.09282). Whole predictions say more than the tokens that
were drawn: with these as plain text the scores still fell half as much.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from headrace.infra import console, storage
from headrace.infra.errors import InputError
from headrace.training.chat_template import Chat
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf import rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ANSWER_TOKENS = 48
"""Most tokens of an answer."""
_BATCH = 64


def read_prompts(uri: str) -> list[str]:
    """Read the prompts of a JSON Lines file.

    Raises:
        InputError: it isn't there, or a line has no string `prompt`.
    """
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file", "give JSON Lines with `prompt`")
    prompts = []
    for number, line in enumerate(storage.read_bytes(uri).splitlines(), 1):
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str):
            raise InputError(f"{uri} line {number}: no string `prompt`", "fix the line")
        prompts.append(prompt)
    return prompts


def sample(
    model: MoEForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    count: int,
    seed: int,
    cache: Path,
) -> list[list[int]]:
    """Ids of prompts with the model's answers, `<|endoftext|>` first; the same for the same seed.

    Args:
        model: the champion.
        tokenizer: its tokenizer, with the chat format's tokens.
        prompts: to choose from.
        count: how many.
        seed: of choice and answers.
        cache: JSON file with the answers of an earlier call, written where it is missing.
    """
    if cache.exists():
        known: list[list[int]] = storage.read_json(cache)
        return known
    chat = Chat.of(tokenizer, model.config.max_position_embeddings)
    order = np.random.default_rng(seed).permutation(len(prompts))[:count]
    asked = chat.prompts([prompts[i] for i in order], ANSWER_TOKENS)
    out: list[list[int]] = []
    with console.Progress("the champion's answers", len(asked), "prompts") as progress:
        for at in range(0, len(asked), _BATCH):
            some = asked[at : at + _BATCH]
            made = rollout.answer(
                model, chat, some, max_new_tokens=ANSWER_TOKENS, temperature=1.0, seed=seed + at
            )
            # An answer that broke off would teach that answers end there.
            out += [d.ids for d, done in zip(made.dialogues, made.ended, strict=True) if done]
            progress.advance(len(some))
    storage.write_json(cache, out)
    return out


def divergence(logits: Tensor, taught: Tensor) -> Tensor:
    """Mean KL(champion || model) in nats per token, a scalar, from logits (B, T, V) of each."""
    target = taught.float().log_softmax(-1).flatten(0, 1)
    own = logits.float().log_softmax(-1).flatten(0, 1)
    return torch.nn.functional.kl_div(own, target, reduction="batchmean", log_target=True)
