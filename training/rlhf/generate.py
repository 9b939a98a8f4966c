"""What an exported model says to prompts in the chat format, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.training.chat_template import Chat
from headrace.training.moe import export
from headrace.training.rlhf import rollout

BATCH = 256
"""Prompts answered at once; it bounds the memory of keys and values."""


def answers(
    folder: str | Path,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
) -> list[list[str]]:
    """For each seed a sampled answer to each prompt; the same arguments give the same answers.

    Models that are asked with the same seeds draw with the same random numbers, so that answers of
    models which hardly differ are often the same, and their scores differ less by chance.

    Raises:
        InputError: no model is there.
        ValidationError: it was not made with the chat format's special tokens.
    """
    if not prompts:
        return [[] for _ in seeds]
    model = export.load(folder)
    chat = Chat.of(export.load_tokenizer(folder), model.config.max_position_embeddings)
    encoded = chat.prompts(prompts, max_new_tokens)
    out = []
    for seed in seeds:
        texts: list[str] = []
        for start in range(0, len(encoded), BATCH):
            made = rollout.answer(
                model,
                chat,
                encoded[start : start + BATCH],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                seed=seed + start,
            )
            texts += [chat.text(d.ids[d.start :]) for d in made.dialogues]
        out.append(texts)
    return out
