"""Five prompts that every model of the chain continues, so that a reader sees the difference."""

from __future__ import annotations

from typing import Any

from headrace.infra.lineage import code_version
from headrace.tasks.model_refs import run_of
from headrace.tasks.task import OF, once, run_folder

PROMPTS = (
    "第一条 为了",
    "新华社北京电 今天上午，",
    "The company said on Monday that",
    "The history of mathematics",
    "A congenital abnormality of the",
)
"""A statute, Chinese news, business news, an encyclopaedia, medicine."""
_TOKENS = 48
_SEED = 7


def speak(export: str) -> list[str]:
    """What a model says after each prompt, 48 tokens at temperature 0.7; asked once an export."""

    def make() -> dict[str, Any]:
        from headrace.training.generate import sample
        from headrace.training.moe.export import load, load_tokenizer

        texts = sample(
            load(export),
            load_tokenizer(export),
            list(PROMPTS),
            max_new_tokens=_TOKENS,
            temperature=0.7,
            seed=_SEED,
        )
        return {"texts": texts, OF: run_of(export)}

    identity = [run_of(export), PROMPTS, _TOKENS, code_version("training")]
    texts: list[str] = once(run_folder("speech", identity), "speech.json", make)["texts"]
    return texts
