"""What a chain keeps of its drift rounds; the chain itself: tests/e2e/test_chain.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_chain import chain, refused_round

from headrace.infra.artifacts import Change, Decision, Model, Release, Retraining, Totals
from headrace.infra.storage import write_json
from headrace.spark_jobs.settings import Source
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.lifecycle import record_chain, round_once, window_key
from headrace.tasks.mlflow_log import open_chain, tracking
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import Window

TOTALS = Totals(read=9, kept=9, rejected={}, unreadable=0)


def calm(version: str) -> Retrained:
    """A round without drift, from a version."""
    return Retrained(Finding(drift=False, report="/d"), version)


def gated(folder: Path, version: str, overtaken: bool) -> Retrained:
    """A round that came to the gate."""
    manifest = {"release_id": "w", "parent": "r", "totals": TOTALS.as_json(), "files": [],
                "inputs": []}  # fmt: skip
    write_json(folder / "w" / "manifest.json", manifest)
    decision = Decision(
        decision="promote", policy="p", champion="a", challenger="b", metrics={},
        reasons=("holds",),
        confidence=0.95, resamples=9, seed=1,
    )  # fmt: skip
    write_json(folder / "run" / "decision.json", decision.as_json())
    placed = decision.at(str(folder / "run"), "decision.json")
    run = Gated(placed, "promote", ("holds",), "r", "7", version, overtaken=overtaken)
    retraining = Retraining(
        steps=0, tokens=5, metrics={"new": Change(before=2.0, after=1.5)}, judged_on=""
    )
    trained = Model(stage="ewc", folder="/f", retraining=retraining)
    return Retrained(None, version, Release.load(folder / "w"), trained, run)


def test_a_window_is_told_by_its_content_and_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for path in (one, two):
        path.write_text('{"text": "x"}\n')
    given = Window(inputs=(Source(uri=str(one)),))
    keys = [window_key(w) for w in (Window.of(str(one)), Window.of(str(two)), given)]
    assert keys[0] == keys[2] != keys[1]
    one.write_text('{"text": "y"}\n')
    assert window_key(Window.of(str(one))) not in keys


def test_each_window_has_a_round_of_its_own(tmp_path: Path) -> None:
    began: list[str] = []

    def make(version: str) -> Retrained:
        began.append(version)
        return calm(version)

    first = round_once(tmp_path, "a", "1", make)
    assert round_once(tmp_path, "b", "2", make).champion == "2"
    # What was champion in between changes nothing of a round that is made.
    again = round_once(tmp_path, "a", "3", make)
    assert again.as_json() == first.as_json() and began == ["1", "2"]


def test_a_round_that_was_cut_short_starts_where_it_began(tmp_path: Path) -> None:
    def killed(version: str) -> Retrained:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        round_once(tmp_path, "a", "1", killed)
    # It may have promoted version 2 before.
    assert round_once(tmp_path, "a", "2", calm).champion == "1"


def test_a_round_that_was_overtaken_can_be_run_again(tmp_path: Path) -> None:
    late = round_once(tmp_path, "a", "1", lambda v: gated(tmp_path, v, overtaken=True))
    assert late.gated and late.gated.overtaken
    again = round_once(tmp_path, "a", "4", lambda v: gated(tmp_path, v, overtaken=False))
    assert again.gated and again.gated.champion == "4"


def test_a_round_is_found_again_as_it_was(tmp_path: Path) -> None:
    made = gated(tmp_path, "1", overtaken=False)
    assert round_once(tmp_path, "a", "1", lambda _: made) == made

    def never(version: str) -> Retrained:
        raise AssertionError("made again")

    found = round_once(tmp_path, "a", "2", never)
    assert found.as_json() == made.as_json()
    assert found.gated and made.gated and found.gated.decision.report == made.gated.decision.report
    assert found.child and found.child.totals == TOTALS and found.changes["new"].after == 1.5


def test_a_chains_run_has_its_figures_and_the_decisions(tmp_path: Path) -> None:
    made = replace(chain(tmp_path), report=str(tmp_path / "report.html"))
    Path(made.report).write_text("<p>page")
    for again, champion, second in (
        (None, "1", None),
        (refused_round(made.release), "2", "reject"),
    ):
        run = open_chain("chain", [champion], {})
        figures = record_chain(run, replace(made, again=again))
        assert figures["rejected"] == {"bias": 1} and figures["gain"] == {"sft": 0.2, "ppo": 0.2}
        data = tracking().client.get_run(run).data
        assert data.metrics["bits_per_byte.unigram"] == 3.0 and data.metrics["kept"] == 5
        tags = {k: data.tags.get(k) for k in ("decision", "champion", "round_decision")}
        assert tags == {"decision": "promote", "champion": champion, "round_decision": second}
