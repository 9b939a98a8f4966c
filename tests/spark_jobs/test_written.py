"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from headrace.spark_jobs.written import written


def test_it_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with written(str(target), str(tmp_path / "scratch")) as path:
        Path(path).write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and target.stat().st_mode & 0o444 == 0o444
    assert not list((tmp_path / "scratch").iterdir())


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), written(str(target), str(tmp_path / "scratch")) as path:
        Path(path).write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and not list((tmp_path / "scratch").iterdir())
