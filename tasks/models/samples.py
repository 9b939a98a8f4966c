"""Five prompts that every model of the chain continues, so that a reader sees the difference."""

from __future__ import annotations

from pathlib import Path

from headrace.infra.artifacts import Artifact, Inputs, produce
from headrace.tasks.model_refs import run_ref

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


class Samples(Artifact):
    """What a model says after each prompt."""

    RECORD = "speech.json"

    texts: tuple[str, ...]


def generate_samples(export: str) -> tuple[str, ...]:
    """Return what a model says after each prompt: 48 tokens at temperature 0.7, sampled once."""

    def make(_: Path) -> Samples:
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
        return Samples(texts=tuple(texts))

    run = run_ref(export)
    return produce(Samples, Inputs.deciding("speech", run.id, PROMPTS, _TOKENS, of=run), make).texts
