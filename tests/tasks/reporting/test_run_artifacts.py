"""What a progress line tells the page; the pages themselves: tests/e2e/test_doors.py."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.console import Progress
from headrace.tasks.reporting.run_artifacts import _STAGE, _share, older


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("58 of 1,200 steps, loss 5.381, 306 s left", 100 * 58 / 1200),
        ("1,200 of 1,200 steps", 100.0),
        ("done in 3.2 s, 2 pieces", None),
        ("7 of 0 steps", None),
    ],
)
def test_the_bar_follows_the_amount_of_work(line: str, share: float | None) -> None:
    assert _share(line) == share


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_what_a_command_prints_is_understood(done: int, total: int) -> None:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.infra.console.say", said.append)
        Progress("scan", total, "pieces", every=0).advance(done)
    found = _STAGE.match(said[0])
    assert found is not None and found[1] == "scan"
    if done != total:
        assert _share(found[2]) == pytest.approx(min(100.0, 100 * done / total))


def test_older_tells_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    made = path.stat().st_mtime
    assert older(str(path), made + 1) and not older(str(path), made - 1)
