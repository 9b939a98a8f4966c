"""A backup restored: into an empty folder, whole or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.state.state_dir import Home
from headrace.tasks.operations import backup, restore


@pytest.fixture
def backed_up(state: Path, tmp_path: Path) -> Path:
    """The target of a backup whose state folder is gone."""
    for name in ("latest.json", "runs/a/result.json", "runs/b/result.json"):
        path = state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    backup.make(tmp_path / "backups")
    shutil.rmtree(state)
    return tmp_path / "backups"


@pytest.mark.parametrize("what", ["file", "folder", "hidden", "is a file"])
def test_a_folder_that_is_not_empty_is_refused_and_left(
    what: str, backed_up: Path, state: Path
) -> None:
    if what != "is a file":
        state.mkdir()
    place = {"file": "a", "folder": "a", "hidden": ".a", "is a file": ""}[what]
    path = state / place if place else state
    path.mkdir() if what == "folder" else path.write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        restore.restore(backed_up)
    assert path.exists() and (what == "folder" or path.read_text() == "mine")
    assert what == "is a file" or len(list(state.iterdir())) == 1


def test_an_empty_folder_is_taken(backed_up: Path, state: Path) -> None:
    state.mkdir()
    assert restore.restore(backed_up).files == 3
    assert (state / "runs" / "b" / "result.json").read_text() == "{}"


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_damaged_backup_leaves_no_folder_behind(how: str, backed_up: Path, state: Path) -> None:
    (made,) = (p for p in backed_up.iterdir() if p.is_dir())
    bad = made / "state" / "runs" / "b" / "result.json"
    bad.write_text("[]") if how == "changed" else bad.unlink()
    for work in (restore.restore, restore.check):
        with pytest.raises(HeadraceError, match=r"runs/b/result\.json") as error:
            work(backed_up)
        assert error.value.code == 4
    assert not state.exists()
    assert not [p for p in state.parent.iterdir() if "restoring" in p.name]


def test_a_place_without_a_backup(tmp_path: Path, state: Path) -> None:
    with pytest.raises(InputError, match="no finished backup"):
        restore.restore(tmp_path)
    assert not state.exists()


KILLED = """
import sys, time
from pathlib import Path
from headrace.infra.files import backups
from headrace.tasks.operations import restore
def stuck(*given):
    print("half", flush=True)
    time.sleep(600)
backups.copy = stuck
restore.restore(Path(sys.argv[1]))
"""


def test_a_killed_restore_leaves_no_state_folder_and_the_next_one_clears_up(
    backed_up: Path, state: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(backed_up)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "half\n"
        (half,) = state.parent.glob(".*restoring*")
        assert not state.exists()
        restore._remove_killed(Home(state))
        assert half.exists(), "a restore that is at work is left alone"
        process.kill()
    assert restore.restore(backed_up).files == 3
    assert state.is_dir() and not half.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_disk_of_its_own_is_refused_before_anything_is_copied(
    backed_up: Path, state: Path
) -> None:
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "x", state], capture_output=True).returncode:
        pytest.skip("this container can't mount")
    try:
        with pytest.raises(UsageError, match="is a mount point"):
            restore.restore(backed_up)
        assert not Home(state).begun()
    finally:
        subprocess.run(["umount", state], check=True)


def test_what_was_newest_is_newest_again(state: Path, tmp_path: Path) -> None:
    """By the time of files and folders `gc` chooses what it keeps."""
    for number, name in enumerate(("b", "c", "a")):
        (state / "runs" / name / "export").mkdir(parents=True)
        for path in (state / "runs" / name / "export" / "x", state / "runs" / name / "y"):
            path.write_text("{}")
            os.utime(path, (1_700_000_000 + number,) * 2)
        for path in (state / "runs" / name / "export", state / "runs" / name):
            os.utime(path, (1_700_000_000 + number,) * 2)
    before = {p: p.stat().st_mtime for p in (state / "runs").rglob("*")}
    backup.make(tmp_path / "backups")
    shutil.rmtree(state)
    restore.restore(tmp_path / "backups")
    assert {p: p.stat().st_mtime for p in (state / "runs").rglob("*")} == before
