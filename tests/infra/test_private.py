"""The state folder is its owner's alone; what is published elsewhere has the user's own modes."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.infra import private, storage
from headrace.infra.errors import UsageError
from headrace.infra.home import Home, home


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


def test_a_folder_that_others_use_is_not_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UsageError, match="used for other things"):
        private.close(tmp_path)
    assert mode(tmp_path) == 0o1777


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
    subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", "audit", "verify"],
        env={**os.environ, "HEADRACE_HOME": str(root)}, check=True, capture_output=True,
    )  # fmt: skip
    assert mode(root) == 0o700
    open_to_others = [p for p in root.rglob("*") if mode(p) & 0o077]
    assert not open_to_others
