"""What a model has to beat, and what `headrace gate` compares; a chain: tests/e2e/test_chain.py."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from headrace.infra.artifacts import Evaluation, Lineage
from headrace.tasks.configuration.settings import GateConfig
from headrace.tasks.gate import contests, order, rewards
from headrace.tasks.gate.contests import Exports, compare_exports, standing_against
from headrace.tasks.gate.metrics import gather
from headrace.tasks.gate.order import OrderGain
from headrace.tasks.gate.promotion import decide, policy_of
from headrace.tasks.gate.rewards import Rewards, score_rewards
from headrace.tasks.mlflow_log import registry, tracking
from headrace.training.moe import export as exports


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


def scored(folder: Path, bits: float, prefix: str = "d") -> Evaluation:
    """An evaluation of documents on which a model spends `bits` per byte, give or take."""
    sizes = np.full(N, 100)
    hard = np.random.default_rng(1).normal(0, 0.3, N) + bits
    own = np.random.default_rng(int(bits * 1000)).normal(0, 0.01, N)
    table = pa.table({
        "id": [f"{prefix}{i}" for i in range(N)], "lang": ["en"] * N, "domain": ["legal"] * N,
        "nats": pa.array((hard + own) * sizes * np.log(2)), "bytes": pa.array(sizes),
    })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{prefix}-{bits}.parquet"
    pq.write_table(table, path)
    return Evaluation(metrics={}, table=path.name, folder=str(folder))


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

    def order_of(export: str, corpus: list[str], window: str, shared: Any) -> OrderGain:
        asked.append((Path(export).parent.name, [Path(r).name for r in corpus], window))
        return OrderGain(order_gain=worth)

    def score(export: str, corpus: list[str], shared: Any, window: str | None = None) -> Evaluation:
        last = Path(corpus[-1]).name
        return scored(state / "scores", bits[Path(export).parent.name, last], last)

    for name, release in (("one", "parent"), ("two", "child")):
        folder = state / "runs" / name / "export"
        folder.mkdir(parents=True)
        origin = {"release_id": release} | ({"parent_version": "1"} if name == "two" else {})
        weights(folder, weight if name == "two" else 1.0)
        (folder / "lineage.json").write_text(json.dumps(origin))
    monkeypatch.setattr(contests, "resolve_model", lambda m, _: state / "runs" / m / "export")
    monkeypatch.setattr(contests, "release_folder", lambda release: f"/releases/{release}")
    monkeypatch.setattr(contests, "score_heldout", score)
    monkeypatch.setattr(order, "score_order", order_of)
    # Without a server that runs tasks.
    answered: list[str] = []

    def asked_for(export: str, judge: Lineage, seed: int) -> Rewards | None:
        answered.append(Path(export).parent.name)
        return score_rewards.fn(export, judge, seed)

    monkeypatch.setattr(rewards, "score_rewards", asked_for)
    corpora = {"parent": ["/releases/parent"], "child": ["/releases/parent", "/releases/child"]}
    monkeypatch.setattr("headrace.infra.releases.lineage", lambda r: corpora[Path(r).name])
    settings = GateConfig()
    contest = compare_exports(Exports("one", "two", settings))
    sides = gather(contest, policy_of(settings, contest.default))
    got = decide.fn(*sides, Path(contest.folder), settings, contest.default, settings.seed)
    assert asked == [("two", ["child"], "/releases/child")], "of what its round held out"
    assert got.decision == decision, got.reasons
    assert got.guards["new.order_gain"].value == worth
    assert got.metrics["anchor.bits_per_byte"].against == got.champion
    assert got.data == {"old": "parent", "new": "child"}
    sound = math.isfinite(weight)
    assert answered == (["one", "two"] if sound else [])
    assert sound or "weights are not finite numbers (w)" in got.reasons[0]
