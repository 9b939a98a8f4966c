"""What an exported model says to prompts in the chat format, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.training.moe import export
from headrace.training.rlhf import rollout
from headrace.training.rlhf.chat import Chat


def answer(
    folder: str | Path,
    prompts: Sequence[str],
    seed: int,
    *,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
) -> list[str]:
    """One sampled answer to each prompt; the same arguments give the same answers.

    Raises:
        InputError: no model is there.
        ValidationError: it was not made with the chat format's special tokens.
    """
    if not prompts:
        return []
    model = export.load(folder)
    chat = Chat.of(export.load_tokenizer(folder), model.config.max_position_embeddings)
    made = rollout.answer(
        model,
        chat,
        chat.prompts(prompts, max_new_tokens),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    return [chat.text(d.ids[d.start :]) for d in made.dialogues]
