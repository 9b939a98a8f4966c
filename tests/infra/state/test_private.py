"""The state folder is its owner's alone; what is published elsewhere has the user's own modes."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from another_account import UID

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.state import private
from headrace.infra.state.state_dir import Home, home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_folder_of_before_is_closed_with_all_below(tmp_path: Path) -> None:
    root = tmp_path / "state"
    (root / "runs" / "a").mkdir(parents=True)
    (root / "runs" / "a" / "model").write_text("x")
    (root / "audit.jsonl").write_text("")
    mark(root)
    (root / "mine").write_text("not headrace's")
    outside = tmp_path / "outside"
    outside.write_text("")
    (root / "runs" / "link").symlink_to(outside)
    os.chmod(root, 0o755)
    private.begin(Home(root))
    assert mode(root) == 0o700 and mode(root / "runs" / "a") == 0o700
    assert mode(root / "runs" / "a" / "model") == mode(root / "audit.jsonl") == 0o600
    assert mode(outside) == 0o644, "links are not followed"
    (root / "new").mkdir()
    (root / "new" / "file").write_text("")
    assert mode(root / "new") == 0o700 and mode(root / "new" / "file") == 0o600


def mark(root: Path) -> None:
    """Leave what every command leaves."""
    (root / "logs").mkdir(parents=True, exist_ok=True)
    (root / "logs" / "headrace.log").write_text("")


def test_a_folder_that_others_use_is_not_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    mark(tmp_path)
    with pytest.raises(UsageError, match="open to other accounts"):
        private.close(tmp_path)
    assert mode(tmp_path) == 0o1777


@pytest.mark.parametrize(
    ("verb", "mark_of"),
    [
        ("status", None),
        ("audit show", None),
        ("down", None),
        ("gc --dry-run", "a link"),
        ("doctor", "a folder"),
    ],
)
def test_a_look_changes_nothing_in_a_folder_that_is_not_headraces(
    tmp_path: Path, verb: str, mark_of: str | None
) -> None:
    root = tmp_path / "opt"
    for name in ("java/bin", "logs", "spark", "packages", "runs"):
        (root / name).mkdir(parents=True)
    (root / "java" / "bin" / "java").write_text("#!/bin/sh")
    (root / "audit.jsonl").write_text("another program's")
    if mark_of == "a link":
        (root / "logs" / "headrace.log").symlink_to("/etc/hostname")
    if mark_of == "a folder":
        (root / "logs" / "headrace.log").mkdir()
    for place in (root, *root.rglob("*")):
        if not place.is_symlink():
            place.chmod(0o755)
    before = {p: p.lstat() for p in (root, *root.rglob("*"))}
    done = subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", *verb.split()],
        env={**os.environ, "HEADRACE_HOME": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "chmod 700" in done.stderr
    after = {p: p.lstat() for p in (root, *root.rglob("*"))}
    assert {p: (s.st_mode, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_mode, s.st_mtime_ns) for p, s in before.items()
    }


def test_a_folder_with_nothing_but_an_inbox_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "inbox").mkdir(mode=0o755)
    private.close(tmp_path)
    assert mode(tmp_path) == mode(tmp_path / "inbox") == 0o700
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="did not make"):
        private.close(tmp_path)


def test_an_empty_folder_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private.close(tmp_path)
    assert mode(tmp_path) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another account")
@pytest.mark.parametrize("folder_mode", [0o700, 0o755])
def test_not_even_root_works_in_the_folder_of_another_account(
    tmp_path: Path, folder_mode: int
) -> None:
    mark(tmp_path)
    tmp_path.chmod(folder_mode)
    os.chown(tmp_path, UID, UID)
    with pytest.raises(UsageError, match=rf"belongs to \w+ \(uid {UID}\)"):
        private.begin(Home(tmp_path))
    assert mode(tmp_path) == folder_mode


def test_what_is_published_outside_has_the_modes_the_user_wants(tmp_path: Path) -> None:
    private.begin(home())
    for place, folder, file in ((tmp_path / "shared", 0o755, 0o644), (home().root, 0o700, 0o600)):
        storage.write_json(place / "deep" / "a.json", {})
        storage.write_bytes(place / "b.bin", b"")
        storage.copy_out(place / "b.bin", place / "c.bin")
        assert mode(place / "deep") == folder
        assert {mode(place / n) for n in ("deep/a.json", "c.bin")} == {file}
    storage.write_private(tmp_path / "shared" / "secret.json", {})
    assert mode(tmp_path / "shared" / "secret.json") == 0o600


def test_a_user_who_shares_with_a_group_keeps_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(private.UMASK, "002")
    private.begin(home())
    storage.write_json(tmp_path / "out" / "a.json", {})
    assert mode(tmp_path / "out") == 0o775 and mode(tmp_path / "out" / "a.json") == 0o664
    assert private.umask_for(tmp_path / "out") == 0o002
    assert private.umask_for(home().root / "runs") == 0o077
    assert private.passed_on() == {private.UMASK: "002"}


def test_every_verb_closes_the_state_folder(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir(mode=0o755)
    (root / "releases").mkdir(mode=0o755)
    mark(root)
    subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", "audit", "verify"],
        env={**os.environ, "HEADRACE_HOME": str(root)}, check=True, capture_output=True,
    )  # fmt: skip
    assert mode(root) == 0o700
    open_to_others = [p for p in root.rglob("*") if mode(p) & 0o077]
    assert not open_to_others
