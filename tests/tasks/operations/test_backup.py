"""A copy of a state folder that is being worked in: what it refers to is there, also after a kill.

The copy with the stack up is tests/e2e/test_backup.py.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import audit
from headrace.infra.errors import UsageError
from headrace.infra.files import backups
from headrace.tasks.mlflow_log import registry
from headrace.tasks.operations import backup, restore

FILES = {
    "latest.json": b"{}", "deploy.json": b"{}", "inbox/a.lock": b"a user's own", "runs/r/.x": b"1",
    "releases/r/manifest.json": b"{}", "releases/r/documents/lang=en/part-0.parquet": b"P",
    "releases/r/unreadable/odd\udcffname": b"o", "outbox/a.json": b"{}", "other/new": b"n",
}  # fmt: skip
NOT = {
    "stack/secrets.json": b"secret", "receiver.json": b"token",
    "logs/headrace.log": b"l", ".work/x/part": b"w",
    "windows/.work/x": b"w", ".trash/x/y": b"t", "spark/code/z.zip": b"z", ".busy.lock": b"",
    "runs/r/.lock": b"", "audit.lock": b"", "runs/.a.json.12.tmp": b"half",
    "runs/r/checkpoints/.step-1.tmp/state.json": b"half",
}  # fmt: skip


def fill(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tree(root: Path) -> dict[str, bytes]:
    found = (p for p in root.rglob("*") if p.is_file())
    return {os.fspath(p.relative_to(root)): p.read_bytes() for p in found}


def brought_back(source: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup restored at another place, which is the state folder from then on."""
    monkeypatch.setenv("HEADRACE_HOME", str(place))
    answer = restore.restore(source)
    assert answer.home == str(place) and answer.files >= len(tree(place))
    return place


def test_what_is_copied_comes_back_and_secrets_and_litter_do_not(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state, FILES | NOT)
    (state / "inbox" / "empty" / "folder").mkdir(parents=True)
    (state / "runs" / "r" / "away").symlink_to("/etc")
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "t").write_bytes(b"on another disk")
    (state / "tokens").symlink_to(tmp_path / "big")
    answer = backup.make(tmp_path / "backups")
    assert answer.files == len(FILES) + 1 and answer.outside == []
    assert {"stack", "logs", ".work", "windows/.work", "runs/r/away"} <= set(answer.left_out)
    new = brought_back(tmp_path / "backups", tmp_path / "new", monkeypatch)
    assert (new / "inbox" / "empty" / "folder").is_dir()
    assert tree(new) == FILES | {"tokens/t": b"on another disk"}
    assert all(p.lstat().st_mode & 0o077 == 0 for p in (new, *new.rglob("*")))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@given(
    first=st.dictionaries(st.sampled_from("abcde"), st.binary(max_size=9)),
    then=st.dictionaries(st.sampled_from("abcde"), st.binary(max_size=9)),
)
def test_each_of_two_backups_is_the_folder_as_it_was(
    first: dict[str, bytes], then: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HOME", str(tmp / "home"))
        made = []
        for number, files in enumerate((first, then)):
            shutil.rmtree(tmp / "home", ignore_errors=True)
            fill(tmp / "home", {"always": b"", **{f"runs/{k}": v for k, v in files.items()}})
            for path in (tmp / "home").rglob("*"):  # a later second, unless it is the same content
                key = path.name if first.get(path.name) != then.get(path.name) else "same"
                os.utime(path, ns=(0, number + 1 if key != "same" else 0))
            made.append(backup.make(tmp / "backups"))
        same = {k for k in first if then.get(k) == first[k]} | {"always"}
        assert made[1].copied == len(then) + 1 - len(same)
        for answer, files in zip(made, (first, then), strict=True):
            place = tmp / answer.id
            brought_back(Path(answer.backup), place, patch)
            assert tree(place) == {"always": b"", **{f"runs/{k}": v for k, v in files.items()}}
        shutil.rmtree(made[0].backup)
        patch.setenv("HEADRACE_HOME", str(tmp / "home"))
        assert restore.check(tmp / "backups").id == made[1].id


def missing(place: Path) -> list[str]:
    """What the model versions of a state folder refer to and is not there."""
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as store:
        rows = store.execute("select value from model_version_tags where key in ('export', "
                             "'release')").fetchall()  # fmt: skip
        numbers = [n for (n,) in store.execute("select version from model_versions")]
    gone = [v for (v,) in rows if not (place / v).exists()]
    lines = audit.read(place / "audit.jsonl")
    versions = [str(x.get("version") or 0) for x in lines]
    return gone + [v for v in versions if int(v) not in numbers]


@pytest.mark.timeout(600)
def test_nothing_in_a_restored_registry_points_to_something_missing(
    champion: Callable[..., str], release: Callable[..., str], state: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Versions are registered and promoted as fast as that goes, and copies made meanwhile."""
    ended, made, faults = threading.Event(), [0], []

    def work() -> None:
        while not ended.is_set():
            made[0] += 1
            try:
                # Text and manifest first, then the run's folder, version, line and alias.
                champion(f"r{made[0]}", release(f"release{made[0]}", ["some text"] * 3))
            except Exception as error:  # pragma: no cover - shown by the assertion below
                faults.append(error)
                return

    champion("first", release("release0", ["some text"]))
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(4):
            before = made[0]
            while made[0] < before + 2 and thread.is_alive():
                time.sleep(0.01)
            backup.make(tmp_path / "backups")
    finally:
        ended.set()
        thread.join()
    assert not faults
    champions = []
    for found in backups.whole(tmp_path / "backups"):
        place = brought_back(found, tmp_path / found.name, monkeypatch)
        assert missing(place) == []
        models = registry("headrace")
        assert models.champion().export.is_dir() and (models.champion().export).parent.is_dir()
        last = audit.read(place / "audit.jsonl")[-1]
        assert (last["action"], last["to"]) == ("promote", models.champion().number)
        champions.append(int(models.champion().number))
        assert audit.verify(place / "audit.jsonl").lines >= champions[-1]
    assert champions == sorted(champions) and champions[-1] > champions[0]


BACKUP = """
import os, sys, time
from pathlib import Path
from headrace.infra.files import backups
from headrace.tasks.operations import backup
real, number = backups.copy, [0]
def slow(*given):
    number[0] += 1
    if number[0] == int(sys.argv[2]):
        print("half", flush=True)
        time.sleep(600)
    return real(*given)
backups.copy = slow
backup.make(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("after", [1, 4, 8])
def test_a_killed_backup_does_not_look_whole_and_the_next_one_is(
    after: int, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state, FILES)
    target = tmp_path / "backups"
    command = [sys.executable, "-c", BACKUP, str(target), str(after)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    # `gc` would remove what the copy refers to.
    from headrace.tasks.operations.garbage import collect

    with pytest.raises(UsageError, match="at work"):
        collect(0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert backups.whole(target) == []
    answer = backup.make(target)
    assert answer.copied == len(FILES)
    assert sorted(p.name for p in target.iterdir()) == [".lock", answer.id]
    assert tree(brought_back(target, tmp_path / "new", monkeypatch)) == FILES


def test_an_older_backup_in_the_folders_place_is_taken_as_it_is(
    champion: Callable[..., str], release: Callable[..., str], state: Path, tmp_path: Path
) -> None:
    one = release("one", ["text"])
    champion("a", one)
    backup.make(tmp_path / "backups")
    champion("b", one)
    shutil.rmtree(state)
    answer = restore.restore(tmp_path / "backups")
    assert answer.missing_keys == [] and answer.audit_lines == 1
    last = audit.read(state / "audit.jsonl")[-1]
    assert last["to"] == "1"
    assert audit.verify(state / "audit.jsonl").lines == 1


def test_what_lies_outside_the_state_folder_is_named(
    champion: Callable[..., str], tmp_path: Path, state: Path
) -> None:
    champion("a", str(tmp_path / "elsewhere" / "release"))
    assert backup.make(tmp_path / "backups").outside == [f"{tmp_path}/elsewhere/release"]


@pytest.mark.parametrize("what", ["the audit file", "the backup before"])
def test_damage_elsewhere_is_no_reason_to_copy_nothing(
    what: str, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(state, FILES | {"audit.jsonl": b"not a line\n"} if what == "the audit file" else FILES)
    first = backup.make(tmp_path / "backups")
    if what == "the backup before":
        (Path(first.backup) / "manifest.json").write_text("{")
    again = backup.make(tmp_path / "backups")
    assert again.files == first.files and "warning" in capfd.readouterr().err
    assert (what == "the audit file") is (again.copied == 0)
    assert restore.check(Path(again.backup)).files == first.files


def test_nothing_is_backed_up_where_nothing_is(state: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no state to back up"):
        backup.make(tmp_path / "backups")
    assert not (tmp_path / "backups").exists() and not state.exists()


def test_the_key_of_the_audit_file_is_named_and_not_copied(
    champion: Callable[..., str], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion("a", str(state / "releases" / "r"))
    answer = backup.make(tmp_path / "backups")
    key = Path(answer.audit_key)
    assert not key.is_relative_to(state) and key.is_file()
    words = key.read_text().split()
    for content in tree(tmp_path / "backups").values():
        assert not any(word.encode() in content for word in words)
    monkeypatch.setenv("HEADRACE_AUDIT_KEY_FILE", str(tmp_path / "another" / "key"))
    lacks = restore.check(tmp_path / "backups").missing_keys
    assert lacks == [json.loads((state / "audit.jsonl").read_text())["key"]]
