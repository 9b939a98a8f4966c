from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.artifacts import Change, Decision, Release, Totals
from headrace.infra.errors import ValidationError
from headrace.infra.registry.versions import Version
from headrace.infra.state.state_dir import Home
from headrace.tasks.configuration.settings import RetrainConfig
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.mlflow_log import tracking
from headrace.tasks.retraining.round import (
    Retrained,
    begin_round,
    check_enough,
    end_round,
    window_job,
)
from headrace.tasks.retraining.rounds import State
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import Window


def version(state: Path) -> Version:
    """Version 3 of a model, in a state folder."""
    tags = {"export": "runs/ppo-1/export", "release": "releases/p"}
    return Version("3", "run", tags, "headrace", Home(state))


def child(kept: int, read: int, **rejected: int) -> Release:
    levels = rejected or {"semantics": read - kept}
    totals = Totals(read=read, kept=kept, rejected=levels, unreadable=0)
    return Release(id="x", folder="/r", totals=totals, input_bytes=9)


@pytest.mark.parametrize(("kept", "read"), [(20, 20), (20, 200), (500, 5000)])
def test_enough_is_enough(kept: int, read: int) -> None:
    check_enough(child(kept, read), RetrainConfig())


@pytest.mark.parametrize(("kept", "read"), [(19, 20), (20, 201), (0, 150), (499, 5000)])
def test_a_damaged_window_is_refused_with_its_counts(kept: int, read: int) -> None:
    with pytest.raises(ValidationError, match=f"keeps {kept} of {read}") as e:
        check_enough(child(kept, read), RetrainConfig())
    assert e.value.code == 4 and e.value.counts["kept"] == kept and "semantics" in e.value.message


def test_a_window_that_is_known_is_not_called_damaged() -> None:
    known = child(5, 400, semantics=4, duplicate=391)
    with pytest.raises(ValidationError, match="391 of them are in the champion's corpus") as e:
        check_enough(known, RetrainConfig())
    assert "doesn't know yet" in e.value.hint


def test_a_child_lies_beside_its_parent(tmp_path: Path) -> None:
    champion = version(tmp_path)
    job = window_job(Window.of("w.jsonl"), champion, RetrainConfig())
    assert job.output == str(tmp_path) and job.parent == champion.release


def test_an_edited_policy_makes_another_round(state: Path) -> None:
    champion = version(state)
    policy = state / "policy.yaml"
    state.mkdir()
    text = "name: p\nmetrics:\n  - {{name: old.bits_per_byte, require: not_worse, margin: {}}}\n"
    settings = RetrainConfig.model_validate({"gate": {"policy": str(policy)}})
    runs = []
    for margin in (1, 2, 1):
        policy.write_text(text.format(margin))
        runs.append(begin_round(champion, child(30, 30), None, settings))
    assert runs[0] == runs[2] != runs[1]


def test_a_round_of_its_own_has_a_parent_run(state: Path) -> None:
    champion = version(state)
    report = state / "runs" / "monitor-1" / "report.html"
    verdict = Finding(drift=True, report=str(report))
    window, settings = child(30, 30), RetrainConfig()
    run = begin_round(champion, window, verdict, settings)
    assert begin_round(champion, window, None, settings) == run, "the same round again"
    assert begin_round(champion, window.model_copy(update={"id": "y"}), verdict, settings) != run
    (state / "gate.html").write_text("why")
    changes = {side: Change(before=2.0, after=1.5) for side in ("new", "old")}
    decision = Decision(
        decision="reject", policy="p", champion="a", challenger="b", metrics={}, reasons=("worse",),
        confidence=0.95, resamples=9, seed=1, folder=str(state), record="decision.json",
    )  # fmt: skip
    gated = Gated(decision, "reject", ("worse",), "r", "4", "3")
    end_round(run, state, changes, gated)
    ended = tracking().client.get_run(run).info.end_time
    end_round(run, state, changes, gated)
    found = tracking().client.get_run(run)
    assert found.info.end_time == ended, "the same round again ended when it did"
    of_all = ("headrace.", "mlflow.source.", "mlflow.user")
    tags = {k: v for k, v in found.data.tags.items() if not k.startswith(of_all)}
    assert tags == {
        "mlflow.runName": "retrain", "release_id": "x", "parent_version": "3",
        "drift_report": "runs/monitor-1/report.html", "decision": "reject", "champion": "3",
        "version": "4",
    }  # fmt: skip
    assert found.data.metrics["bits_per_byte.new.after"] == 1.5
    assert [f.path for f in tracking().client.list_artifacts(run)] == ["gate.html"]


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, State.PROMOTED),
        ({"overtaken": True, "verdict": "inconclusive"}, State.OVERTAKEN),
        ({"verdict": "reject"}, State.REFUSED),
        ({"verdict": "inconclusive"}, State.REFUSED),
        ({"waiting": True, "champion": "3"}, State.WAITING),
        ({"champion": "3"}, State.DECIDED),
    ],
)
def test_what_a_round_came_to(changed: dict[str, Any], state: State) -> None:
    decision = Decision(
        decision="promote", policy="p", champion="a", challenger="b", metrics={}, reasons=(),
        confidence=0.95, resamples=9, seed=1,
    )  # fmt: skip
    gated = replace(Gated(decision, "promote", (), "r", version="4", champion="4"), **changed)
    assert Retrained(None, gated.champion, child(30, 30), gated=gated).outcome is state


def test_a_round_without_drift_came_to_no_gate() -> None:
    assert Retrained(Finding(drift=False), "3").outcome is State.NO_DRIFT
