"""Files that appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from headrace.spark_jobs.curate.atomic import written


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

    def fail(path: str) -> None:
        Path(path).write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), written(str(target), str(tmp_path / "scratch")) as path:
        fail(path)
    assert target.read_text() == "old" and not list((tmp_path / "scratch").iterdir())


def test_data_is_durable_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sync = os.fsync

    def synced(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        seen.append("folder" if path.is_dir() else f"{path.stat().st_size} bytes")
        sync(fd)

    monkeypatch.setattr(os, "fsync", synced)
    with written(str(tmp_path / "out" / "part"), str(tmp_path / "scratch")) as path:
        Path(path).write_text("whole")
    assert seen == ["5 bytes", "folder"]


def test_a_full_disk_names_the_file_that_was_to_be(tmp_path: Path) -> None:
    target = tmp_path / "part"
    with pytest.raises(OSError, match=str(target)), written(str(target), str(tmp_path / "s")):
        raise OSError(errno.ENOSPC, "No space left on device")
