"""What the gate is shown: bits per byte on old and new text, and rewards on held-out prompts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.infra import console, releases, storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.infra.lineage import code_version
from headrace.infra.registry.versions import Registry, Version
from headrace.infra.state.state_dir import home
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import GateVerb
from headrace.tasks.gate.anchor import Anchor, find_anchor
from headrace.tasks.gate.evaluation import (
    decide,
    heldout_documents,
    log_decision,
    policy_of,
    read_scores,
    release_folder,
    score_heldout,
)
from headrace.tasks.mlflow_log import record_stage, registry
from headrace.tasks.model_refs import fault_of, lineage_of, resolve_model, run_of, weights_of
from headrace.tasks.task import OF, once, run_folder, step
from headrace.training.scoring import evaluate as scoring
from headrace.training.scoring import order_gain
from headrace.training.scoring.gate import Evidence, Sample
from headrace.training.settings import EvaluateSettings

OLD, NEW, REWARD = "old.bits_per_byte", "new.bits_per_byte", "reward"
ANCHOR, BASE = "anchor.bits_per_byte", "base.bits_per_byte"
"""Old text again, against another rival than the champion."""
ORDER = "new.order_gain"
PROMPTS, SAMPLES = 240, 12
"""Held-out prompts of the metric `reward`, and answers to each. With 240 and 12 the standard
error of the difference of two models of `make run` is 0.04 log odds."""


def evidence_of_text(
    name: str, evaluation: dict[str, Any], corpus: list[str], fault: str = ""
) -> Evidence:
    """A model's evidence on the held-out records of a corpus alone."""
    ids = ",".join(Path(r).name for r in corpus)
    scores = {OLD: read_scores(evaluation["documents"])}
    return Evidence(name, scores, data={"old": ids}, fault=fault)


def beside_base(
    rival: Evidence, challenger: Evidence, base: dict[str, Any]
) -> tuple[Evidence, Evidence]:
    """Both sides with what alignment cost: the challenger against the model that it began from.

    `base` is that model's evaluation on the same documents.
    """
    return _beside(rival, challenger, BASE, read_scores(base["documents"]), "pretrained")


def beside_anchor(
    champion: Evidence, challenger: Evidence, anchor: Anchor
) -> tuple[Evidence, Evidence]:
    """Both sides with what old text has lost since the best version ever approved."""
    champion, challenger = _beside(champion, challenger, ANCHOR, anchor.sample, anchor.name)
    return replace(champion, notes=champion.notes + anchor.notes), challenger


def _beside(
    rival: Evidence, challenger: Evidence, metric: str, sample: Sample, name: str
) -> tuple[Evidence, Evidence]:
    """Both sides with a further metric: the challenger's old text against `sample` of `name`."""
    samples = {**challenger.samples, metric: challenger.samples[OLD]}
    return (
        replace(
            rival,
            samples={**rival.samples, metric: sample},
            against={**rival.against, metric: name},
        ),
        replace(challenger, samples=samples),
    )


def old_documents(corpus: list[str], settings: EvaluateSettings) -> Callable[[], pa.Table]:
    """Reads the texts of the held-out documents that are scored, when it is called."""
    return lambda: scoring.sample(heldout_documents(corpus), settings)


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
    """{prompts, scores (a list for each prompt)} in log odds of being preferred.

    The champion's reward model on a model's answers to held-out prompts; empty where the champion's
    lineage names no reward model.
    """
    reward, prompts = lineage.get("reward"), lineage.get("prompts")
    if not reward or not prompts:
        return {}
    identity = [
        weights_of(export), reward, prompts, PROMPTS, SAMPLES, seed, code_version("training")
    ]  # fmt: skip
    folder = run_folder("rewards", identity)
    return once(folder, "rewards.json", lambda: _rewards(export, reward, prompts, seed))


def _rewards(export: str, reward: str, prompts: str, seed: int) -> dict[str, Any]:
    from headrace.training.moe.export import load_tokenizer
    from headrace.training.rlhf.generate import answers
    from headrace.training.rlhf.reward_trainer import load_reward, score

    lines = storage.read_bytes(home().resolve(prompts)).decode().splitlines()
    # A prompt that comes twice is one prompt.
    asked = list(dict.fromkeys(json.loads(line)["prompt"] for line in lines))[:PROMPTS]
    judge = home().resolve(reward)
    model, tokenizer = load_reward(judge), load_tokenizer(judge)
    with console.Progress(f"rewards of {run_of(export)}, {SAMPLES} answers to a prompt"):
        said = answers(export, asked, [seed + n * len(asked) for n in range(SAMPLES)])
        scores = [score(model, tokenizer, asked, texts).tolist() for texts in said]
    return {
        "prompts": asked,
        "scores": [list(row) for row in zip(*scores, strict=True)],
        OF: run_of(export),
    }


def reward_sample(rewards: dict[str, Any]) -> dict[str, Sample]:
    """The sample of the metric `reward`, none where there is no reward model."""
    if not rewards:
        return {}
    return {REWARD: Sample.of_scores(rewards["prompts"], rewards["scores"])}


@step("shuffle new text")
def score_order(
    export: str, corpus: list[str], window: str | None, shared: Shared
) -> dict[str, Any]:
    """{order_gain}: bits per byte that the order of `heldout_documents` is worth to a model."""
    names = [Path(r).name for r in (*corpus, *([window] if window else ()))]
    identity = [weights_of(export), names, shared.seed, code_version("training")]
    folder = run_folder("order", identity)

    def make() -> dict[str, Any]:
        from headrace.training.moe import export as exports

        documents = scoring.sample(heldout_documents(corpus, window), EvaluateSettings())
        texts = documents["text"].to_pylist()
        model, tokenizer = exports.load(export), exports.load_tokenizer(export)
        gain = order_gain.order_gain(model, tokenizer, texts, shared.seed)
        # JSON has no NaN: a null figure breaks the guard as well.
        return {"order_gain": gain if math.isfinite(gain) else None, OF: run_of(export)}

    return once(folder, "order.json", make)


def compare_exports(champion: str, challenger: str, settings: GateVerb) -> dict[str, Any]:
    """The answer of `headrace gate`.

    Old text is the held-out records of the champion's corpus, new text those of the releases that
    only the challenger has seen, what a round of retraining held out of its window included; with
    one corpus the challenger must be better on it.
    """
    began = milliseconds()
    exports = [str(resolve_model(m, settings)) for m in (champion, challenger)]
    lineages = [lineage_of(Path(e)) for e in exports]
    models = registry(settings.model.name)
    versions = [models.of_export(Path(e)) for e in exports]
    if exports[0] == exports[1]:
        raise UsageError("champion and challenger are the same export", "name two models")
    corpora = [releases.lineage(release_folder(x.get("release_id"))) for x in lineages]
    new = [r for r in corpora[1] if r not in corpora[0]]
    # A round of retraining held out more of its own window than of others.
    window = new[-1] if new and "parent_version" in lineages[1] else None
    default = "default" if new else "first"
    policy = policy_of(settings, default)
    # The reward model that judges is the champion's: a version's tags name it.
    judge = lineages[0] | (versions[0].tags if versions[0] else {})
    faults = [fault_of(e) for e in exports]
    evidence = []
    for export, fault in zip(exports, faults, strict=True):
        samples = {OLD: read_scores(score_heldout(export, corpora[0], settings)["documents"])}
        if new:
            scored = score_heldout(export, new, settings, window)
            samples[NEW] = read_scores(scored["documents"])
        # A model of no numbers gives no answers.
        if policy.names(REWARD) and not any(faults):
            samples |= reward_sample(score_rewards(export, judge, settings.seed))
        data = {"old": ",".join(Path(r).name for r in corpora[0])}
        data |= {"new": ",".join(Path(r).name for r in new)} if new else {}
        evidence.append(Evidence(export, samples, data=data, fault=fault))
    ours, theirs = evidence[1], evidence[0]
    if new and policy.names(ORDER):
        gain = score_order(exports[1], new, window, settings)["order_gain"]
        ours = replace(ours, measures={ORDER: math.nan if gain is None else gain})
    anchor = None
    if policy.names(ANCHOR):
        documents = old_documents(corpora[0], EvaluateSettings())
        known = {v.number: e.samples[OLD] for v, e in zip(versions, evidence, strict=True) if v}
        anchor = find_anchor(exports[0], theirs.samples[OLD], documents, models, known)
        theirs, ours = beside_anchor(theirs, ours, anchor)
    identity = [
        *map(weights_of, exports), policy.model_dump(), settings.seed, code_version("training"),
        anchor.name if anchor else None,
    ]  # fmt: skip
    folder = run_folder("gate", identity)
    decision = decide(theirs, ours, folder, settings, default, settings.seed)
    run = record_stage(
        "gate",
        folder,
        {"difference": _differences(decision)},
        {"policy": policy.name},
        {"gate_decision": decision["decision"]},
        began=began,
    )
    log_decision(run, decision)
    return {**decision, "run_id": run}


def _differences(decision: dict[str, Any]) -> dict[str, Any]:
    return {name: m["difference"] for name, m in decision["metrics"].items()}
