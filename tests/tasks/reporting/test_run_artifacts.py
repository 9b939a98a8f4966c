"""What a progress record tells the page; the pages themselves: tests/e2e/test_doors.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import console
from headrace.infra.console import Progress, Record
from headrace.tasks.reporting.run_artifacts import _share, older


@pytest.mark.parametrize(
    ("record", "share"),
    [
        (Record("58 of 1,200 steps, loss 5.381", "train", 58, 1200), 100 * 58 / 1200),
        (Record("1,200 of 1,200 steps", "train", 1200, 1200), 100.0),
        (Record("1,300 steps", "train", 1300, 1200), 100.0),
        (Record("done in 3.2 s, 2 pieces", "scan", 2), None),
        (Record("7 of 0 steps", "train", 7, 0), None),
    ],
)
def test_the_bar_follows_the_amount_of_work(record: Record, share: float | None) -> None:
    assert _share(record) == share


@given(st.text(min_size=1), st.text(), st.integers(1, 10**7), st.integers(1, 10**7))
def test_what_a_command_reports_is_understood(stage: str, note: str, done: int, total: int) -> None:
    pipe = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "_progress", pipe)
        patch.setenv(console.RECORDS, "1")
        Progress(stage, total, "pieces", every=0).advance(done, note)
        console.say("warning: 5 of 10 are odd")
    progress, line = map(Record.of, pipe.getvalue().splitlines())
    assert (progress.stage, progress.done, progress.total) == (stage, done, total)
    assert progress.text.startswith(f"{done:,}") and note in progress.text
    assert _share(progress) == pytest.approx(min(100.0, 100 * done / total))
    assert line == Record("warning: 5 of 10 are odd"), "a line is no stage's progress"


def test_older_tells_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    made = path.stat().st_mtime
    assert older(str(path), made + 1) and not older(str(path), made - 1)
