"""What the gate is shown: bits a byte on old and new text, and rewards on held-out prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace.infra import releases, storage
from headrace.infra.errors import UsageError
from headrace.infra.home import home
from headrace.infra.lineage import code_version
from headrace.infra.registry import Registry, Version
from headrace.infra.settings import Shared
from headrace.tasks.judging import (
    decide,
    log_decision,
    policy_of,
    read_scores,
    release_folder,
    score_heldout,
)
from headrace.tasks.models import lineage_of, resolve_model
from headrace.tasks.recording import record_stage, registry
from headrace.tasks.settings import GateVerb
from headrace.tasks.step import OF, once, run_folder, step
from headrace.training.scoring.gate import Evidence, Sample

OLD, NEW, REWARD = "old.bits_per_byte", "new.bits_per_byte", "reward"
PROMPTS = 64
"""Held-out prompts that the reward guard looks at."""


def evidence_of_text(name: str, evaluation: dict[str, Any], corpus: list[str]) -> Evidence:
    """A model's evidence on the held-out records of a corpus alone."""
    ids = ",".join(Path(r).name for r in corpus)
    return Evidence(name, {OLD: read_scores(evaluation["documents"])}, data={"old": ids})


def evidence_of_baselines(baselines: dict[str, Any], corpus: list[str]) -> Evidence:
    """The evidence of the best baseline: what a first model has to beat."""
    best = min(baselines, key=lambda n: baselines[n]["metrics"]["bits_per_byte"]["value"])
    return evidence_of_text(f"baseline {best}", baselines[best], corpus)


def rival_of(
    aligned: dict[str, Any], baselines: dict[str, Any], corpus: list[str], shared: Shared
) -> tuple[Evidence, str | None]:
    """(evidence, version) of what a whole chain's model has to beat.

    That is a version on the same held-out records, or the best baseline where there is none.
    """
    standing = standing_against(aligned["export"], registry(shared.model.name))
    if standing is None:
        return evidence_of_baselines(baselines, corpus), None
    scored = score_heldout(str(standing.export), corpus, shared)
    return evidence_of_text(f"version {standing.number}", scored, corpus), standing.number


def standing_against(export: str, models: Registry) -> Version | None:
    """The version that an export has to beat: the champion, None where there is none.

    For a model that has been champion itself it is what it was compared with then: that verdict was
    carried out. One that wasn't is no answer to who is champion now.
    """
    own = models.of_export(Path(export))
    if own is None or models.since(own.number) is None:
        return models.current()
    number = own.tags.get("parent_version")
    return models.version(number) if number else None


@step("score rewards")
def score_rewards(export: str, lineage: dict[str, Any], seed: int) -> dict[str, Any]:
    """{prompts, scores}: the champion's reward model on a model's answers to held-out prompts.

    Empty where the champion's lineage names no reward model.
    """
    reward, prompts = lineage.get("reward"), lineage.get("prompts")
    if not reward or not prompts:
        return {}
    identity = [Path(export).parent.name, reward, prompts, seed, code_version("training")]
    folder = run_folder("rewards", identity)
    return once(folder, "rewards.json", lambda: _rewards(export, reward, prompts, seed))


def _rewards(export: str, reward: str, prompts: str, seed: int) -> dict[str, Any]:
    from headrace.training.moe.export import load_tokenizer
    from headrace.training.rlhf.answers import answer
    from headrace.training.rlhf.reward import load_reward, score

    lines = storage.read_bytes(home().resolve(prompts)).decode().splitlines()[:PROMPTS]
    asked = [json.loads(line)["prompt"] for line in lines]
    said = answer(export, asked, seed)
    judge = home().resolve(reward)
    scores = score(load_reward(judge), load_tokenizer(judge), asked, said)
    return {"prompts": asked, "scores": [float(x) for x in scores], OF: Path(export).parent.name}


def reward_sample(rewards: dict[str, Any]) -> dict[str, Sample]:
    """The sample of the metric `reward`, none where there is no reward model."""
    if not rewards:
        return {}
    return {REWARD: Sample.of_scores(rewards["prompts"], rewards["scores"])}


def compare_exports(champion: str, challenger: str, settings: GateVerb) -> dict[str, Any]:
    """The answer of `headrace gate`.

    Old text is the held-out records of the champion's corpus, new text those of the releases that
    only the challenger has seen; with one corpus the challenger must be better on it.
    """
    exports = [str(resolve_model(m, settings)) for m in (champion, challenger)]
    lineages = [lineage_of(Path(e)) for e in exports]
    if exports[0] == exports[1]:
        raise UsageError("champion and challenger are the same export", "name two models")
    corpora = [releases.lineage(release_folder(x.get("release_id"))) for x in lineages]
    new = [r for r in corpora[1] if r not in corpora[0]]
    evidence = []
    for export in exports:
        samples = {OLD: read_scores(score_heldout(export, corpora[0], settings)["documents"])}
        if new:
            samples[NEW] = read_scores(score_heldout(export, new, settings)["documents"])
        samples |= reward_sample(score_rewards(export, lineages[0], settings.seed))
        data = {"old": ",".join(Path(r).name for r in corpora[0])}
        data |= {"new": ",".join(Path(r).name for r in new)} if new else {}
        evidence.append(Evidence(export, samples, data=data))
    default = "default" if new else "first"
    policy = policy_of(settings, default)
    folders = [Path(e).parent.name for e in exports]
    identity = [*folders, policy.model_dump(), settings.seed, code_version("training")]
    folder = run_folder("gate", identity)
    decision = decide(evidence[0], evidence[1], folder, settings, default, settings.seed)
    run = record_stage(
        "gate",
        folder,
        {"difference": _differences(decision)},
        {"policy": policy.name},
        {"gate_decision": decision["decision"]},
    )
    log_decision(run, decision)
    return {**decision, "run_id": run}


def _differences(decision: dict[str, Any]) -> dict[str, Any]:
    return {name: m["difference"] for name, m in decision["metrics"].items()}
