"""The metric `reward`: the champion's reward model on both models' answers to held-out prompts."""

from __future__ import annotations

import json
from pathlib import Path

from headrace.infra import console, storage
from headrace.infra.artifacts import Artifact, Inputs, Lineage, produce
from headrace.infra.state.state_dir import home
from headrace.tasks.gate.comparison import Comparison, Metric, Pair
from headrace.tasks.model_refs import run_of, run_ref, weights_of
from headrace.tasks.task import step
from headrace.training.scoring.gate import Sample

PROMPTS, SAMPLES = 240, 12
"""Held-out prompts, and answers to each. With 240 and 12 the standard error of the difference of
two models of `make run` is 0.04 log odds."""


class Rewards(Artifact):
    """Log odds of being preferred, of a model's answers to held-out prompts."""

    RECORD = "rewards.json"

    prompts: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    """A row per prompt, a value per answer."""

    def sample(self) -> Sample:
        """Return the values as the gate pairs them."""
        return Sample.of_scores(self.prompts, self.scores)


@step("score rewards")
def score_rewards(export: str, judge: Lineage, seed: int) -> Rewards | None:
    """Score a model's answers; None where the judge's lineage names no reward model."""
    reward, prompts = judge.reward, judge.prompts
    if not reward or not prompts:
        return None
    decides = (weights_of(export), reward, prompts, PROMPTS, SAMPLES, seed)
    inputs = Inputs.deciding("rewards", *decides, of=run_ref(export))
    return produce(Rewards, inputs, lambda _: _rewards(export, reward, prompts, seed))


def _rewards(export: str, reward: str, prompts: str, seed: int) -> Rewards:
    from headrace.training.moe.export import load_tokenizer
    from headrace.training.rlhf.generate import answers
    from headrace.training.rlhf.reward_trainer import load_reward, score

    lines = storage.read_bytes(home().resolve(prompts)).decode().splitlines()
    # A prompt that comes twice is one prompt.
    asked = list(dict.fromkeys(str(json.loads(line)["prompt"]) for line in lines))[:PROMPTS]
    judge: Path = home().resolve(reward)
    model, tokenizer = load_reward(judge), load_tokenizer(judge)
    with console.Progress(f"rewards of {run_of(export)}, {SAMPLES} answers to a prompt"):
        said = answers(export, asked, [seed + n * len(asked) for n in range(SAMPLES)])
        scores = [score(model, tokenizer, asked, texts).tolist() for texts in said]
    return Rewards(prompts=tuple(asked), scores=tuple(zip(*scores, strict=True)))


def _compare(comparison: Comparison) -> Pair | None:
    champion, challenger = comparison.champion, comparison.challenger
    # A model of no numbers gives no answers, and a baseline gives none either.
    if champion.fault or challenger.fault or not (champion.export and challenger.export):
        return None
    theirs, ours = (
        score_rewards(export, comparison.judge, comparison.shared.seed)
        for export in (champion.export, challenger.export)
    )
    return Pair(theirs.sample(), ours.sample()) if theirs and ours else None


METRIC = Metric("reward", _compare)
