"""What becomes of an inbox's windows that can't be judged."""

from pathlib import Path

import pytest

from headrace.flows.monitor import monitor_inbox
from headrace.infra.errors import InputError
from headrace.tasks.settings import MonitorVerb

NOW = MonitorVerb.model_validate({"inbox": {"settle_seconds": 0}})


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_a_missing_reference_is_no_windows_fault(inbox: Path) -> None:
    (inbox / "a.jsonl").write_text('{"text": "one"}\n' * 3)
    for _ in range(2):  # the second time the window is still there to be judged
        with pytest.raises(InputError, match="no such file"):
            monitor_inbox.fn(str(inbox / "none"), str(inbox), NOW)


def test_what_nobody_can_read_is_told_once(inbox: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference.jsonl"
    reference.write_text("".join(f'{{"text": "The court heard case {i}."}}\n' for i in range(60)))
    (inbox / "a.jsonl").write_text("{" * 50)
    answer = monitor_inbox.fn(str(reference), str(inbox), NOW)
    (window,) = answer["windows"]
    assert window["drift"] is None and "can't be read" in window["why"] and not answer["drift"]
    assert monitor_inbox.fn(str(reference), str(inbox), NOW)["windows"] == []
    (inbox / "few.jsonl").write_text('{"text": "one"}\n')
    few = monitor_inbox.fn(str(reference), str(inbox), NOW)
    assert few["windows"] == [] and few["waits"], "too little text joins what comes next"


def test_a_window_whose_records_have_no_text_is_told_once_with_their_fields(
    inbox: Path, tmp_path: Path
) -> None:
    reference = tmp_path / "reference.jsonl"
    reference.write_text("".join(f'{{"text": "The court heard case {i}."}}\n' for i in range(60)))
    (inbox / "a.jsonl").write_text('{"content": "The court heard a case."}\n' * 50)
    (window,) = monitor_inbox.fn(str(reference), str(inbox), NOW)["windows"]
    assert window["drift"] is None and "`content` (50)" in window["why"]
    assert monitor_inbox.fn(str(reference), str(inbox), NOW)["windows"] == []
