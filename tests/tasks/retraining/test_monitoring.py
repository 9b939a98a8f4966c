"""What becomes of an inbox's windows that can't be judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.flows.summaries.drift import drift_screen
from headrace.infra.errors import InputError, UnreadableError, ValidationError
from headrace.tasks.configuration.settings import MonitorConfig
from headrace.tasks.retraining import monitoring
from headrace.tasks.retraining.inbox import next_windows
from headrace.tasks.retraining.monitoring import watch_inbox
from headrace.tasks.retraining.records import VERDICT, WINDOW
from headrace.tasks.retraining.verdicts import Finding, keep_verdict

NOW = MonitorConfig.model_validate({"inbox": {"settle_seconds": 0}})


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_a_missing_reference_is_no_windows_fault(inbox: Path) -> None:
    (inbox / "a.jsonl").write_text('{"text": "one"}\n' * 3)
    for _ in range(2):  # the second time the window is still there to be judged
        with pytest.raises(InputError, match="no such file"):
            watch_inbox(str(inbox / "none"), str(inbox), NOW)


def test_what_nobody_can_read_is_told_once(inbox: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference.jsonl"
    reference.write_text("".join(f'{{"text": "The court heard case {i}."}}\n' for i in range(60)))
    (inbox / "a.jsonl").write_text("{" * 50)
    answer: Any = watch_inbox(str(reference), str(inbox), NOW).as_json()
    (window,) = answer["windows"]
    assert window["drift"] is None and "can't be read" in window["why"] and not answer["drift"]
    assert watch_inbox(str(reference), str(inbox), NOW).as_json()["windows"] == []
    (inbox / "few.jsonl").write_text('{"text": "one"}\n')
    few = watch_inbox(str(reference), str(inbox), NOW).as_json()
    assert few["windows"] == [] and few["waits"], "too little text joins what comes next"


FINE = Finding(drift=False, p_value=0.4, effect=0.0, drifted=(), report="/fine.html")
DRIFT = Finding(drift=True, p_value=0.001, effect=0.4, drifted=("topic",), report="/d.html")


@pytest.mark.parametrize(
    ("outcomes", "stands"),
    [
        (["few", "fine", "gone"], "fine"),
        (["drift", "few", "fine"], "drift"),
        (["drift", "broken", "few"], "drift"),
        (["fine", "broken"], "fine"),
        (["few", "few"], None),
        (["broken", "few"], "broken"),
    ],
)
def test_each_window_of_a_pass_keeps_its_own_verdict(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[str], stands: str | None
) -> None:
    """Windows that a stopped monitor left behind are judged in one pass."""
    known: dict[str, str] = {}
    for number, outcome in enumerate(outcomes):
        (inbox / f"{number}.jsonl").write_text('{"text": "one"}\n')
        known[next_windows(str(inbox), NOW.inbox)[-1]] = outcome

    def judge(reference: str | None, window: str, settings: MonitorConfig) -> Finding:
        outcome = known[window]
        if outcome in ("few", "gone"):
            raise {"few": ValidationError, "gone": InputError}[outcome](
                f"{outcome} of {window}", ""
            )
        if outcome == "broken":
            raise UnreadableError(f"broken {window}", "")
        alert = f"/out/{Path(window).name}"
        finding = FINE if outcome == "fine" else DRIFT.of(outbox=alert)
        keep_verdict(window, finding)
        return finding

    monkeypatch.setattr(monitoring, "judge_window", judge)
    monkeypatch.setattr(monitoring, "reference_of", lambda *_: str(inbox))
    watched = watch_inbox(None, str(inbox), NOW)
    answer: Any = watched.as_json()
    left = {w: o for w, o in known.items() if o not in ("few", "gone")}
    assert [v["window"] for v in answer["windows"]] == list(left)
    for verdict in answer["windows"]:
        window, outcome = verdict["window"], known[verdict["window"]]
        stored = json.loads(Path(window.removesuffix(WINDOW) + VERDICT).read_text())
        assert stored["window"] == window and "waits" not in stored and "waits" not in verdict
        assert (stored.get("why") is not None) == (outcome == "broken") == ("why" in verdict)
        assert ("outbox" in verdict) == (outcome == "drift")
        assert stored["drift"] == {"fine": False, "drift": True, "broken": None}[outcome]
    for window, outcome in known.items():
        assert (f"{outcome} of {window}" in answer.get("waits", "")) == (outcome in ("few", "gone"))
    said = {"fine": FINE.report, "drift": DRIFT.report}.get(str(stands))
    assert answer["drift"] == (stands == "drift") and answer["report"] == said
    shown = [f.of(alert_waits="no server") if f.outbox else f for f in watched.findings]
    screen = drift_screen(shown, watched.waits)
    assert screen.count("no server") == outcomes.count("drift")
    assert all(window in screen for window in left) and ("no new one" in screen) == (not left)


def test_a_window_whose_records_have_no_text_is_told_once_with_their_fields(
    inbox: Path, tmp_path: Path
) -> None:
    reference = tmp_path / "reference.jsonl"
    reference.write_text("".join(f'{{"text": "The court heard case {i}."}}\n' for i in range(60)))
    (inbox / "a.jsonl").write_text('{"content": "The court heard a case."}\n' * 50)
    answer: Any = watch_inbox(str(reference), str(inbox), NOW).as_json()
    (window,) = answer["windows"]
    assert window["drift"] is None and "`content` (50)" in window["why"]
    assert watch_inbox(str(reference), str(inbox), NOW).as_json()["windows"] == []
