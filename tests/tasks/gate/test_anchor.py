"""The best version ever approved: which it is, what it reads, and what happens if it is gone."""

import functools
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.infra.registry.versions import Registry
from headrace.tasks.gate.anchor import Anchor, find_anchor
from headrace.tasks.mlflow_log import registry, tracking
from headrace.tasks.operations import garbage
from headrace.training.moe import export as exports
from headrace.training.scoring import gate
from headrace.training.scoring.gate import Evidence, Sample
from headrace.training.scoring.policy import read_policy

N = 40
ANCHOR = "anchor.bits_per_byte"


@dataclass
class Versions:
    """Versions of a model whose bits per byte on every document are what `rates` says."""

    state: Path
    models: Registry
    rates: dict[str, float] = field(default_factory=dict)
    """By the name of the run folder."""
    read: list[tuple[str, int]] = field(default_factory=list)
    """(run folder, documents) of each time that a model was loaded to score some."""

    def add(self, rate: float, promote: bool = True) -> str:
        name = f"{self.models.name}-{len(self.rates)}"
        folder = self.state / "runs" / name / "export"
        folder.mkdir(parents=True)
        (folder / exports.WEIGHTS).write_bytes(b"x")
        self.rates[name] = rate
        run = tracking().start_run("gate", {})
        number = self.models.register(run, folder, str(self.state / "releases/r"), {})
        if promote:
            self.models.decide(number, True, "A. Lead", "better")
        return number

    def folder(self, number: str) -> Path:
        return self.models.version(number).export

    def run(self, number: str) -> str:
        return self.folder(number).parent.name

    def score(self, model: Path, _: Any, documents: pa.Table) -> pa.Table:
        name = model.parent.name
        self.read.append((name, documents.num_rows))
        sizes = np.array([len(t) for t in documents["text"].to_pylist()])
        nats = sizes * self.rates[name] * math.log(2)
        return documents.select(["id"]).append_column("nats", pa.array(nats)).append_column(
            "bytes", pa.array(sizes)
        )  # fmt: skip

    def sample(self, rate: float, start: int = 0) -> Sample:
        """Scores of the documents from number `start` on."""
        sizes = np.full(N, 100.0)
        return Sample(tuple(documents(start)["id"].to_pylist()), rate * sizes, sizes)


def documents(start: int = 0) -> pa.Table:
    ids = [f"{i:03d}" for i in range(start, start + N)]
    return pa.table({"id": ids, "text": ["x" * 100] * N})


@pytest.fixture(scope="module")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def versions(
    shared_state: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Versions:
    """Those of a model of each test's own; a tracking store takes seconds to make."""
    monkeypatch.setenv("HEADRACE_HOME", str(shared_state))
    made = Versions(shared_state, registry(request.node.name))
    monkeypatch.setattr(exports, "load", lambda folder: Path(folder))
    monkeypatch.setattr(exports, "load_tokenizer", lambda folder: None)
    monkeypatch.setattr("headrace.training.scoring.evaluate.score", made.score)
    return made


def anchor(v: Versions, champion: str, start: int = 0) -> Anchor:
    """The anchor of a round that starts from a version."""
    sample = v.sample(v.rates[v.run(champion)], start)
    read = functools.partial(documents, start)
    return find_anchor(f"version {champion}", sample, read, v.models, {champion: sample})


def test_the_best_of_all_that_were_approved_is_the_anchor(versions: Versions) -> None:
    v = versions
    v.add(2.00, promote=False)
    first, best, _, champion = v.add(2.10), v.add(2.05), v.add(2.08), v.add(2.07)
    found = anchor(v, champion)
    assert found.name == f"version {best}" and found.notes == ()
    assert found.sample.values == pytest.approx(np.full(N, 205.0))
    v.models.decide(best, False, "A. Lead", "it was trained on the held-out text")
    assert anchor(v, champion).name == f"version {champion}", "what was refused is no anchor"
    assert anchor(v, first).name == f"version {champion}", "approved later, and better"


def test_the_only_version_is_its_own_anchor_and_nothing_is_read(versions: Versions) -> None:
    champion = versions.add(2.0)
    assert anchor(versions, champion).name == f"version {champion}" and versions.read == []


def test_each_document_is_read_once(versions: Versions) -> None:
    v = versions
    best, champion = v.add(2.0), v.add(2.1)
    for _ in range(2):
        assert anchor(v, champion).name == f"version {best}"
    assert v.read == [(v.run(best), N)]
    v.read.clear()
    found = anchor(v, champion, start=10)
    assert v.read == [(v.run(best), 10)] and len(found.sample.values) == N
    worse = v.add(2.3)
    anchor(v, worse, start=10)
    v.read.clear()
    anchor(v, worse, start=15)
    assert v.read == [(v.run(best), 5)], "of those that aren't best what is kept is enough"


def test_losses_of_many_rounds_are_refused_once_they_add_up(versions: Versions) -> None:
    """Each round loses 0.012 bits per byte, which the policy allows against the champion."""
    v, dice = versions, np.random.default_rng(0)
    champion, said = v.add(2.0), []
    for round_ in range(1, 4):
        rate = 2.0 + 0.012 * round_
        old = v.sample(v.rates[v.run(champion)])
        new = Sample(old.ids, 100 * (rate + dice.normal(0, 0.004, N)), old.weights)
        worse, better = v.sample(3.0), v.sample(2.5)
        found = anchor(v, champion)
        theirs = {"old.bits_per_byte": old, "new.bits_per_byte": worse}
        ours = {"old.bits_per_byte": new, "new.bits_per_byte": better, ANCHOR: new}
        decision = gate.decide(
            Evidence("champion", {**theirs, ANCHOR: found.sample}, against={ANCHOR: found.name}),
            Evidence("retrained", ours, {"new.order_gain": 1.0}),
            read_policy("default"),
            1,
        )
        said.append((decision.decision, decision.metrics["anchor.bits_per_byte"].against))
        assert decision.metrics["old.bits_per_byte"].verdict == "not worse"
        champion = v.add(rate)
    assert said == [("promote", "version 1"), ("promote", "version 1"), ("reject", "version 1")]


def test_an_anchor_that_is_gone_is_named_and_the_next_best_takes_its_place(
    versions: Versions,
) -> None:
    v = versions
    best, second, champion = v.add(2.0), v.add(2.05), v.add(2.1)
    shutil.rmtree(v.folder(best))
    found = anchor(v, champion)
    assert found.name == f"version {second}"
    (note,) = found.notes
    assert note.startswith(f"version {best} was approved, but can't be scored") and "gone" in note
    v.models.client.delete_model_version(v.models.name, best)
    (note,) = anchor(v, champion).notes
    assert note == (
        f"version {best} was approved, but deleted in MLflow since; the best of the others is "
        "the anchor"
    )


def test_scores_that_are_kept_outlive_the_export(versions: Versions) -> None:
    v = versions
    best, champion = v.add(2.0), v.add(2.1)
    anchor(v, champion)
    shutil.rmtree(v.folder(best))
    assert anchor(v, champion).name == f"version {best}"


def test_a_version_whose_scores_are_no_numbers_is_no_anchor(versions: Versions) -> None:
    v = versions
    broken, champion = v.add(math.nan), v.add(2.1)
    found = anchor(v, champion)
    assert found.name == f"version {champion}" and f"version {broken}" in found.notes[0]


def test_gc_keeps_the_anchor_and_its_scores(versions: Versions) -> None:
    v = versions
    best, champion = v.add(2.0), v.add(2.1)
    anchor(v, champion)
    kept = garbage.collect(0).kept
    assert f"runs/{v.run(best)}" in kept and any(name.startswith("runs/scores-") for name in kept)
    assert v.folder(best).exists() and anchor(v, champion).name == f"version {best}"
