"""Sampling from a model, in batches, with a cache of keys and values.

Prompts of different lengths are padded on the left while they grow, and handed back with the
padding on the right, where a causal model needs no mask.
Shapes: B sequences, P longest prompt, N new tokens, S longest prompt with its answer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from headrace.infra.errors import UsageError
from headrace.infra.special_tokens import END
from headrace.training.chat_template import Chat
from headrace.training.moe.attention import Cache
from headrace.training.moe.export import ChatFormat
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.scoring import nll

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Rollout(NamedTuple):
    """Prompts with sampled answers, padded on the right."""

    ids: Tensor
    """(B, S) int64: prompt, answer (with its stop token), padding."""
    logprobs: Tensor
    """(B, S) float32: log-probability of each answer token when it was drawn; 0 elsewhere."""
    mask: Tensor
    """(B, S) bool: true at answer tokens."""


def _draw(logits: Tensor, temperature: float, top_p: float, dice: torch.Generator) -> Tensor:
    """Draw a token for each row of `logits` (B, V), already divided by the temperature."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = logits.softmax(dim=-1)
    if top_p < 1:
        ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
        ordered[ordered.cumsum(dim=-1) - ordered >= top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(1, index, ordered)
    return torch.multinomial(probabilities, 1, generator=dice).squeeze(1)


@torch.no_grad()
def rollout(
    model: MoEForCausalLM,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    pad: int,
    stop: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Rollout:
    """Answers to `prompts` (token ids, not empty): at most `max_new_tokens`, up to one of `stop`.

    Log-probabilities are those of softmax(logits / temperature), before `top_p` cuts; at
    temperature 0 (the likeliest token always) those of softmax(logits). A prompt that is too long
    for the model's context loses its beginning. Same arguments, same answers.

    Raises:
        UsageError: the context has no room for a prompt and `max_new_tokens`.
    """
    room = model.config.max_position_embeddings - max_new_tokens
    if room < 1:
        raise UsageError(
            f"{max_new_tokens} new tokens don't fit a context of "
            f"{model.config.max_position_embeddings}",
            "ask for fewer tokens (--max-tokens)",
        )
    kept = [list(p)[-room:] for p in prompts]
    B, P = len(kept), max(map(len, kept))
    was_training = model.training
    model.eval()
    padded = torch.full((B, P), pad, dtype=torch.int64)
    real = torch.zeros(B, P + max_new_tokens, dtype=torch.bool)
    for row, prompt in enumerate(kept):
        padded[row, P - len(prompt) :] = torch.tensor(prompt, dtype=torch.int64)
        real[row, P - len(prompt) :] = True
    lengths = torch.tensor([len(p) for p in kept])
    positions = torch.arange(P + max_new_tokens) - (P - lengths[:, None])
    # A padding query looks at itself alone: a softmax over nothing is not a number.
    mask = (real[:, None, :P] & torch.ones(P, P, dtype=torch.bool).tril()) | torch.eye(P).bool()
    cache = Cache(model.config, B, P + max_new_tokens, model.lm_head.weight.dtype)
    dice = torch.Generator().manual_seed(seed)
    new, drawn = [], []
    running, stops = torch.ones(B, dtype=torch.bool), torch.tensor(list(stop), dtype=torch.int64)
    states = model.hidden(padded, cache, mask[:, None], positions[:, :P].clamp(min=0))[:, -1]
    for step in range(max_new_tokens):
        logits = model.lm_head(states).float() / (temperature or 1.0)
        token = _draw(logits, temperature, top_p, dice).masked_fill(~running, pad)
        chosen = logits.log_softmax(dim=-1).gather(1, token[:, None]).squeeze(1)
        new.append(token)
        drawn.append(torch.where(running, chosen, 0.0))
        real[:, P + step] = running
        running = running & ~torch.isin(token, stops)
        if not running.any() or step + 1 == max_new_tokens:
            break
        at = P + step
        states = model.hidden(
            token[:, None], cache, real[:, None, None, : at + 1], positions[:, at : at + 1]
        )[:, -1]
    model.train(was_training)
    return _to_the_left(padded, torch.stack(new, 1), torch.stack(drawn, 1), real, kept, pad)


def _to_the_left(
    padded: Tensor,
    new: Tensor,
    drawn: Tensor,
    real: Tensor,
    prompts: list[list[int]],
    pad: int,
) -> Rollout:
    """Each row shifted so that its prompt begins at column 0."""
    B, P = padded.shape
    N = new.shape[1]
    ids = torch.cat([padded, new], dim=1)
    logprobs = torch.cat([torch.zeros(B, P), drawn], dim=1)
    answer = torch.cat([torch.zeros(B, P, dtype=torch.bool), real[:, P : P + N]], dim=1)
    shift = torch.tensor([P - len(p) for p in prompts])
    index = (torch.arange(P + N) + shift[:, None]) % (P + N)
    keep = torch.arange(P + N) < (P + N) - shift[:, None]
    ids = ids.gather(1, index).masked_fill(~keep, pad)
    logprobs = logprobs.gather(1, index).masked_fill(~keep, 0.0)
    answer = answer.gather(1, index) & keep
    longest = max(int(n) for n in answer.sum(1) + torch.tensor([len(p) for p in prompts]))
    return Rollout(ids[:, :longest], logprobs[:, :longest], answer[:, :longest])


def sample(
    model: MoEForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    *,
    chat: ChatFormat | None = None,
    max_new_tokens: int = 64,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
) -> list[str]:
    """Return what the model writes after each prompt, as text without special tokens.

    A prompt that spells out a special token is ordinary text. With `chat` the prompt is a user's
    turn and the text is the answer to it; without, the text continues the prompt. Either
    ends where the model ends it.

    Raises:
        UsageError: the model's context has no room for `max_new_tokens`.
    """
    if not prompts:
        return []
    # The end of a turn ends an aligned model's plain continuation too.
    stop = [tokenizer.eos_token_id, tokenizer.get_vocab().get(END, tokenizer.eos_token_id)]
    encoded = nll.encode(tokenizer, prompts)
    if chat is not None:
        dialogue = Chat.of(tokenizer, model.config.max_position_embeddings)
        stop, encoded = list(chat.stops), dialogue.prompts(prompts, max_new_tokens)
    made = rollout(
        model,
        encoded,
        max_new_tokens=max_new_tokens,
        pad=tokenizer.pad_token_id,
        stop=stop,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    # A byte-level token may stop in the middle of a character.
    return [
        str(tokenizer.decode(ids[mask], skip_special_tokens=True)).rstrip("\ufffd")
        for ids, mask in zip(made.ids, made.mask, strict=True)
    ]
