"""The gate's decision as it is stored, and what follows from it in the registry."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.infra.artifacts import Decision
from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.gate.promotion import Candidate, Gated, decide, promote
from headrace.tasks.mlflow_log import registry, tracking
from headrace.training.scoring.gate import Evidence, Sample


def evidence(name: str, bits: float) -> Evidence:
    size = np.full(40, 100.0)
    rates = np.linspace(1.8, 2.2, 40) + bits
    ids = tuple(map(str, range(40)))
    sample = Sample(ids, rates * size, size, {"lang": ("en",) * 40})
    return Evidence(name, {"old.bits_per_byte": sample}, data={"old": "r"})


def test_an_edited_policy_decides_anew_and_the_old_decision_stays(tmp_path: Path) -> None:
    text = "name: {}\nmetrics:\n  - {{name: old.bits_per_byte, require: {}, margin: {}}}\n"
    policy, folder = tmp_path / "p.yaml", tmp_path / "run"
    folder.mkdir()
    sides = evidence("champion", 0.0), evidence("challenger", 0.1)
    settings = GateSettings(policy=str(policy))

    def said(rival: str = "7") -> Decision:
        return decide.fn(*sides, folder, settings, "first", 1, rival)

    policy.write_text(text.format("strict", "better", 0))
    assert said().decision != "promote"
    policy.write_text(text.format("lax", "not_worse", 9))
    assert said().decision == "promote" and said().policy == "lax"
    assert len(list(folder.glob("decision-*.json"))) == 2
    other = said("8")
    assert other.compared_with == "8" and other.report != said().report
    assert said().compared_with == "7" and len(list(folder.glob("decision-*.json"))) == 3


def judged(
    state: Path, name: str, bits: float, meanwhile: str | None = None, **settings: Any
) -> Gated:
    """What the gate makes of a model that is worse than the champion by `bits`.

    A person promotes the version `meanwhile` between comparison and promotion.
    """
    export = state / "runs" / name / "export"
    export.mkdir(parents=True, exist_ok=True)
    (export / "config.json").write_text("{}")
    gate, shared = GateSettings(**settings), Shared()
    standing = registry("headrace").current()
    sides = evidence("champion", 0.0), evidence(name, bits)
    version = standing.number if standing else None
    decision = decide.fn(*sides, export.parent, gate, "first", 1, version)
    if meanwhile:
        registry("headrace").decide(meanwhile, True, "A. Lead", "could not wait")
    candidate = Candidate(str(export), str(state / "releases/r"), {})
    return promote.fn(candidate, decision, gate, shared.model.name)


def test_the_gate_moves_the_champion_or_leaves_it_to_a_person(state: Path) -> None:
    models = registry("headrace")
    made = judged(state, "one", -0.5)
    assert (made.version, made.champion) == ("1", "1")
    assert made.moved and not made.waiting
    made = judged(state, "two", 0.5, promote="manual")
    assert not made.moved and not made.waiting, "a refusal waits for nobody"
    made = judged(state, "three", -0.5, promote="manual")
    assert (made.version, made.champion) == ("3", "1")
    assert made.waiting and not made.moved
    assert [v.number for v in models.waiting()] == ["3"]
    waits = models.waiting()[0].tags
    assert waits["gate_decision"] == "promote" and waits["parent_version"] == "1"
    assert (found := models.current("challenger")) and found.number == "3"
    models.decide("3", True, "A. Lead", "reads better")
    again = judged(state, "three", -0.5, promote="manual")
    assert again.moved and not again.waiting and again.champion == "3"


def test_moved_means_that_it_is_the_champion_now(state: Path) -> None:
    models = registry("headrace")
    first = judged(state, "one", -0.5)
    assert first.moved and not first.decided_before
    second = judged(state, "two", -0.5)
    assert second.moved and second.champion == "2"
    models.rollback("A. Lead", "slower")
    again = judged(state, "two", -0.5)
    assert (again.moved, again.champion) == (False, "1")
    assert again.decided_before and not again.waiting
    assert not judged(state, "three", 0.5).decided_before, "the gate itself refused"


@pytest.mark.parametrize("promote", ["auto", "manual"])
def test_a_person_who_decides_meanwhile_is_no_fault_of_the_run(state: Path, promote: str) -> None:
    models = registry("headrace")
    judged(state, "one", -0.5)
    judged(state, "two", 0.5)
    made = judged(state, "three", -0.5, meanwhile="2", promote=promote)
    assert (made.version, made.champion, made.moved) == ("3", "2", False)
    assert made.overtaken and made.verdict == "inconclusive"
    assert made.reasons[0] == (
        "the champion is version 2 by now, compared was version 1: run it again"
    )
    assert not made.waiting and not made.decided_before and models.waiting() == []
    assert models.version("3").tags["gate_decision"] == "promote", "what the gate said"
    assert not judged(state, "four", -0.5).overtaken


def test_the_gates_run_has_its_pages_and_plots(state: Path) -> None:
    made = judged(state, "one", -0.5)
    client = tracking().client
    files = {f.path for place in ("", "plots") for f in client.list_artifacts(made.run_id, place)}
    assert {"decision.json", "gate.html", "model"} <= files
    assert [f for f in files if f.startswith("plots/") and f.endswith(".svg")]
    tags = client.get_run(made.run_id).data.tags
    assert tags["gate_decision"] == "promote" and tags["folder"] == "runs/one"
