"""The registry of the gate's metrics: what a policy names is measured, decided on and shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.artifacts import Decision, Evaluation
from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.gate import metrics
from headrace.tasks.gate.comparison import OLD, Comparison, Metric, Pair, Side
from headrace.tasks.gate.metrics import gather
from headrace.tasks.gate.promotion import decide
from headrace.training.scoring.gate import Sample
from headrace.training.scoring.policy import read_policy

N = 60


def scored(folder: Path, bits: float) -> str:
    """Scores of documents on which a model spends `bits` per byte, give or take."""
    sizes = np.full(N, 100)
    hard = np.random.default_rng(1).normal(0, 0.3, N) + bits
    own = np.random.default_rng(int(bits * 1000)).normal(0, 0.01, N)
    table = pa.table({
        "id": [f"d{i}" for i in range(N)], "lang": ["en"] * N, "domain": ["legal"] * N,
        "nats": pa.array((hard + own) * sizes * np.log(2)), "bytes": pa.array(sizes),
    })  # fmt: skip
    path = folder / f"{bits}.parquet"
    pq.write_table(table, path)
    return str(path)


def comparison(folder: Path, champion: float, challenger: float) -> Comparison:
    return Comparison(
        champion=Side("baseline bigram", {OLD: scored(folder, champion)}),
        challenger=Side("aligned", {OLD: scored(folder, challenger)}),
        folder=str(folder),
        default="first",
        shared=Shared(),
        data={OLD: "r"},
    )


def judged(contest: Comparison, policy: str | None = None) -> Decision:
    settings = GateSettings(policy=policy)
    sides = gather(contest, read_policy(policy or contest.default))
    decision: Decision = decide.fn(*sides, Path(contest.folder), settings, contest.default, 1)
    return decision


@pytest.mark.parametrize(("tax", "decision"), [(0.03, "promote"), (0.12, "reject")])
def test_the_first_gate_bounds_what_alignment_cost(
    state: Path, tmp_path: Path, tax: float, decision: str
) -> None:
    table = Path(scored(tmp_path, 1.9)).name
    base = Evaluation(metrics={}, table=table, folder=str(tmp_path))
    made = judged(replace(comparison(tmp_path, 2.4, 1.9 + tax), base=base))
    entry = made.metrics["base.bits_per_byte"]
    assert made.decision == decision and entry.against == "pretrained"
    assert entry.difference == pytest.approx(tax, abs=0.01)
    assert made.metrics["old.bits_per_byte"].against == "baseline bigram"


def _lengths(values: Sequence[float]) -> Sample:
    return Sample.of_scores([f"d{i}" for i in range(N)], [v + i % 3 for i, v in enumerate(values)])


def test_a_metric_is_one_file_and_one_entry(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule and a guard on metrics that a test adds are in the decision and on the page."""

    def compare(contest: Comparison) -> Pair | None:
        return Pair(_lengths([5.0] * N), _lengths([7.0] * N), notes=("lengths are of 60 answers",))

    added = (Metric("length", compare), Metric("seconds", measure=lambda _: 3.5))
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, *added))
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "name: long\n"
        "metrics:\n"
        "  - {name: old.bits_per_byte}\n"
        "  - {name: length, label: Length of answers, unit: tokens, direction: higher}\n"
        "guards:\n"
        "  - {name: seconds, label: Seconds per answer, high: 2.0}\n"
    )
    made = judged(comparison(tmp_path, 2.4, 1.9), str(policy))
    entry = made.metrics["length"]
    assert (entry.champion, entry.challenger, entry.verdict) == (6.0, 8.0, "better")
    assert made.guards["seconds"].value == 3.5 and made.guards["seconds"].ok is False
    assert made.decision == "reject" and made.notes[0] == "lengths are of 60 answers"
    page = Path(made.report).read_text()
    assert "Length of answers" in page and "Seconds per answer" in page


def test_what_a_policy_does_not_name_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(contest: Comparison) -> Pair | None:
        raise AssertionError("measured")

    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, Metric("costly", never)))
    champion, challenger = gather(comparison(tmp_path, 2.4, 1.9), read_policy("first"))
    assert set(champion.samples) == set(challenger.samples) == {"old.bits_per_byte"}
