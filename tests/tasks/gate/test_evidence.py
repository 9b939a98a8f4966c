"""What a model has to beat, and what the gate is shown; a whole chain: tests/e2e/test_chain.py."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from headrace.tasks.configuration.settings import GateVerb
from headrace.tasks.gate import evidence
from headrace.tasks.gate.evidence import (
    BASE,
    PROMPTS,
    SAMPLES,
    beside_base,
    compare_exports,
    evidence_of_text,
    reward_sample,
    score_rewards,
    standing_against,
)
from headrace.tasks.mlflow_log import registry, tracking
from headrace.training.moe import export as exports
from headrace.training.rlhf import generate, reward_trainer
from headrace.training.scoring import gate
from headrace.training.scoring.policy import read_policy


def test_a_verdict_against_an_old_rival_is_no_answer_for_ever(state: Path) -> None:
    store, models = tracking(), registry("headrace")

    def registered(name: str, compared_with: str | None) -> tuple[str, str]:
        export = state / "runs" / name / "export"
        export.mkdir(parents=True, exist_ok=True)
        run = store.start_run("gate", {})
        tags = {"parent_version": compared_with}
        return models.register(run, export, str(state / "releases/r"), tags), str(export)

    def rival(export: str) -> str | None:
        found = standing_against(export, models)
        return found.number if found else None

    v1, one = registered("one", None)
    assert rival(one) is None, "there is no champion"
    models.decide(v1, True, "A", "first")
    assert rival(one) is None, "carried out: it stays what it was"
    v2, two = registered("two", v1)
    _, three = registered("three", v1)
    assert rival(two) == v1 == rival(three)
    models.decide(v2, True, "A", "better")
    assert rival(two) == v1
    assert rival(three) == v2, "not carried out: the champion is another one by now"
    models.rollback("A", "slower")
    assert rival(two) == v1 and rival(three) == v1


N = 60


def weights(folder: Path, value: float = 1.0) -> str:
    """An export folder with nothing but one weight."""
    exports.save_tensors({"w": torch.tensor([value])}, folder / exports.WEIGHTS)
    return str(folder)


def scored(folder: Path, bits: float, prefix: str = "d") -> dict[str, Any]:
    """An evaluation of documents on which a model spends `bits` per byte, give or take."""
    sizes = np.full(N, 100)
    hard = np.random.default_rng(1).normal(0, 0.3, N) + bits
    own = np.random.default_rng(int(bits * 1000)).normal(0, 0.01, N)
    table = pa.table({
        "id": [f"{prefix}{i}" for i in range(N)], "lang": ["en"] * N, "domain": ["legal"] * N,
        "nats": (hard + own) * sizes * np.log(2), "bytes": sizes,
    })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{prefix}-{bits}.parquet"
    pq.write_table(table, path)
    return {"documents": str(path)}


@pytest.mark.parametrize(("tax", "decision"), [(0.03, "promote"), (0.12, "reject")])
def test_the_first_gate_bounds_what_alignment_cost(
    tmp_path: Path, tax: float, decision: str
) -> None:
    base, aligned = scored(tmp_path, 1.9), scored(tmp_path, 1.9 + tax)
    rival = evidence_of_text("baseline bigram", scored(tmp_path, 2.4), ["r"])
    rival, ours = beside_base(rival, evidence_of_text("aligned", aligned, ["r"]), base)
    got = gate.decide(rival, ours, read_policy("first"), 1)
    entry = got["metrics"][BASE]
    assert got["decision"] == decision and entry["against"] == "pretrained"
    assert entry["difference"] == pytest.approx(tax, abs=0.01)
    assert got["metrics"]["old.bits_per_byte"]["against"] == "baseline bigram"


@pytest.fixture
def judged_by(state: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A reward model that counts the letters of an answer, and prompts; {seeds, lineage}."""
    rows = [{"prompt": f"p{i % 300}"} for i in range(310)]
    prompts = state / "prompts.jsonl"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    prompts.write_text("".join(json.dumps(r) + "\n" for r in rows))
    seeds: list[int] = []

    def said(folder: str, asked: Sequence[str], given: Sequence[int]) -> list[list[str]]:
        seeds.extend(given)
        return [["a" * (1 + (int(p[1:]) + seed) % 7) for p in asked] for seed in given]

    def lengths(model: Any, tokenizer: Any, asked: Any, texts: Sequence[str]) -> Any:
        return np.array([float(len(t)) for t in texts])

    monkeypatch.setattr(generate, "answers", said)
    monkeypatch.setattr(reward_trainer, "score", lengths)
    monkeypatch.setattr(reward_trainer, "load_reward", lambda folder: None)
    monkeypatch.setattr("headrace.training.moe.export.load_tokenizer", lambda folder: None)
    return {"seeds": seeds, "lineage": {"reward": "runs/reward-1", "prompts": str(prompts)}}


def test_rewards_are_of_several_answers_to_each_prompt(
    state: Path, judged_by: dict[str, Any]
) -> None:
    model = weights(state / "runs/ppo-1/export")
    found = score_rewards.fn(model, judged_by["lineage"], 7)
    assert len(found["prompts"]) == PROMPTS == len(set(found["prompts"]))
    assert {len(row) for row in found["scores"]} == {SAMPLES}
    assert len(set(judged_by["seeds"])) == SAMPLES, "each sample has its own seed"
    sample = reward_sample(found)["reward"]
    assert len(sample.values) == PROMPTS and sample.weights.tolist() == [1.0] * PROMPTS
    first = [1 + (int(found["prompts"][0][1:]) + seed) % 7 for seed in judged_by["seeds"]]
    assert sample.values[0] == pytest.approx(np.mean(first))
    again = score_rewards.fn(model, judged_by["lineage"], 7)
    assert again == found and len(judged_by["seeds"]) == SAMPLES
    assert reward_sample(score_rewards.fn(model, {}, 7)) == {}
    weights(state / "runs/ppo-1/export", 2.0)
    score_rewards.fn(model, judged_by["lineage"], 7)
    assert len(judged_by["seeds"]) == 2 * SAMPLES, "other weights under the same name"


@pytest.mark.parametrize(
    ("worth", "weight", "decision"),
    [(0.6, 1.0, "promote"), (0.01, 1.0, "reject"), (0.6, math.nan, "reject")],
)
def test_the_verb_gate_refuses_what_learned_shuffled_text_or_has_no_numbers_for_weights(
    state: Path, monkeypatch: pytest.MonkeyPatch, worth: float, weight: float, decision: str
) -> None:
    """As a retraining does: the new text got better, but its order is worth nothing. Broken weights
    refuse whatever the scores are, and such a model isn't asked for answers.
    """
    bits = {("one", "parent"): 2.0, ("two", "parent"): 2.0, ("one", "child"): 2.8,
            ("two", "child"): 2.1}  # fmt: skip
    asked: list[tuple[str, list[str], str | None]] = []

    def order_of(export: str, corpus: list[str], window: str, shared: Any) -> dict[str, float]:
        asked.append((Path(export).parent.name, [Path(r).name for r in corpus], window))
        return {"order_gain": worth}

    def score(
        export: str, corpus: list[str], shared: Any, window: str | None = None
    ) -> dict[str, Any]:
        last = Path(corpus[-1]).name
        return scored(state / "scores", bits[Path(export).parent.name, last], last)

    for name, release in (("one", "parent"), ("two", "child")):
        folder = state / "runs" / name / "export"
        folder.mkdir(parents=True)
        origin = {"release_id": release} | ({"parent_version": "1"} if name == "two" else {})
        weights(folder, weight if name == "two" else 1.0)
        (folder / "lineage.json").write_text(json.dumps(origin))
    monkeypatch.setattr(evidence, "resolve_model", lambda m, _: state / "runs" / m / "export")
    monkeypatch.setattr(evidence, "release_folder", lambda release: f"/releases/{release}")
    monkeypatch.setattr(evidence, "score_heldout", score)
    monkeypatch.setattr(evidence, "score_order", order_of)
    # Without a server that runs tasks.
    answered: list[str] = []

    def rewards(export: str, judge: dict[str, Any], seed: int) -> dict[str, Any]:
        answered.append(Path(export).parent.name)
        return score_rewards.fn(export, judge, seed)

    monkeypatch.setattr(evidence, "score_rewards", rewards)
    monkeypatch.setattr(evidence, "decide", evidence.decide.fn)
    corpora = {"parent": ["/releases/parent"], "child": ["/releases/parent", "/releases/child"]}
    monkeypatch.setattr(evidence.releases, "lineage", lambda r: corpora[Path(r).name])
    got = compare_exports("one", "two", GateVerb())
    assert asked == [("two", ["child"], "/releases/child")], "of what its round held out"
    assert got["decision"] == decision, got["reasons"]
    assert got["guards"]["new.order_gain"]["value"] == worth
    assert got["metrics"]["anchor.bits_per_byte"]["against"] == got["champion"]
    assert got["data"] == {"old": "parent", "new": "child"}
    sound = math.isfinite(weight)
    assert answered == (["one", "two"] if sound else [])
    assert sound or "weights are not finite numbers (w)" in got["reasons"][0]
