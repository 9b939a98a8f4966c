"""Findings on windows as JSON, and the records of them."""

import json

from headrace.infra.state.state_dir import home
from headrace.tasks.retraining.records import VERDICT, WINDOW, beside
from headrace.tasks.retraining.verdicts import Finding, keep_verdict, last_verdict, verdict_on


def test_an_answer_has_the_fields_that_were_given() -> None:
    found = Finding(drift=True, p_value=0.1, effect=0.2, drifted=("lang",), report=None)
    assert found.as_json() == {
        "drift": True, "p_value": 0.1, "effect": 0.2, "drifted": ["lang"], "report": None,
    }  # fmt: skip
    assert found.of(outbox=None).as_json()["outbox"] is None
    unreadable = Finding.unreadable("/w", "broken").as_json()
    assert unreadable["drift"] is None and unreadable["why"] == "broken"
    assert "outbox" not in unreadable and unreadable["window"] == "/w"


def test_the_finding_of_a_pass_is_not_changed_by_that_on_a_window() -> None:
    Finding.unreadable("/w", "broken")
    assert Finding.none() == Finding.none() and Finding.none().why is None


def test_a_verdict_lies_beside_the_window_of_an_inbox_and_is_the_last() -> None:
    window = str(home().windows / "in" / f"000001{WINDOW}")
    for name in (window, "/other.jsonl"):
        keep_verdict(name, Finding(drift=False, reference="r").of(outbox="/o"))
    stored = json.loads(beside(window, VERDICT).read_text())
    assert stored["window"] == window and "outbox" not in stored and stored["reference"] == "r"
    of_window, last = verdict_on(window), last_verdict()
    assert of_window is not None and of_window.drift is False
    assert last is not None and last.window == "/other.jsonl" and verdict_on("/other.jsonl") is None
