"""What a backup is on disk: whole or unseen, each file as it was copied, nothing outside it."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError, InputError, ResourceError, UsageError
from headrace.infra.files import backups
from headrace.infra.files.backups import Copied, Manifest


def manifest(name: str = "20260501T120000Z", *files: Copied) -> Manifest:
    return Manifest(
        id=name, made="2026-05-01T12:00:00+00:00", version="0", home="/h", audit_lines=0,
        audit_keys=(), left_out=(), outside=(), files=files,
    )  # fmt: skip


def one(target: Path, name: str = "20260501T120000Z", content: bytes = b"text") -> Path:
    """A finished backup with one file."""
    source = target.with_name("source")
    source.write_bytes(content)
    target.mkdir(exist_ok=True)
    with backups.begun(target, name) as folder:
        (folder / "state").mkdir()
        size, changed, digest = backups.copy(source, folder / "state" / "a")
        copied = Copied(path="state/a", bytes=size, changed=changed, sha256=digest)
        return backups.finish(folder, manifest(name, copied))


def test_a_finished_backup_is_found_and_its_files_are_private(tmp_path: Path) -> None:
    first, second = (one(tmp_path / "t", f"2026050{n}T120000Z") for n in (1, 2))
    assert backups.whole(tmp_path / "t") == [first, second]
    assert backups.newest(tmp_path / "t") == second and backups.newest(first) == first
    (known,) = backups.of(first).files
    assert known.sha256 == hashlib.sha256(b"text").hexdigest()
    for path in (first, first / "manifest.json", first / "state" / "a"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_was_killed_or_failed_does_not_look_whole_and_goes(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    killed = target / f"{backups.UNFINISHED}20260501T120000Z"
    (killed / "state").mkdir(parents=True)
    (killed / "manifest.json").write_text(manifest().model_dump_json())  # just before its name
    bare = target / "20260501T130000Z"
    bare.mkdir()
    assert backups.whole(target) == []
    for place in (target, tmp_path / "none", bare):
        with pytest.raises(InputError, match="no finished backup"):
            backups.newest(place)

    def fail() -> None:
        assert not killed.exists()
        raise OSError("full")

    with pytest.raises(OSError, match="full"), backups.begun(target, "x"):
        fail()
    assert list(target.iterdir()) == [bare]


@pytest.mark.parametrize("path", ["/etc/x", "../x", "state/../../x", "", "state//x", "./x", "a\0b"])
def test_a_path_that_leads_out_of_a_backup_is_refused(path: str, tmp_path: Path) -> None:
    folder = one(tmp_path / "t")
    said = json.loads((folder / "manifest.json").read_text())
    said["files"][0]["path"] = path
    (folder / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="leads out of the backup"):
        backups.of(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', "\udcff".encode("utf-8", "surrogatepass")]
)
def test_a_damaged_manifest_is_one_clear_error(text: str | bytes, tmp_path: Path) -> None:
    folder = one(tmp_path / "t")
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"manifest\.json"):
        backups.of(folder)


def damage(path: Path, how: str) -> None:
    if how == "one bit":
        path.write_bytes(b"texu")
    elif how == "shorter":
        path.write_bytes(b"tex")
    else:
        path.unlink()
    if how == "a link":
        path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("how", ["one bit", "shorter", "gone", "a link"])
def test_a_damaged_file_is_named(how: str, tmp_path: Path) -> None:
    folder = one(tmp_path / "t")
    (known,) = backups.of(folder).files
    backups.check(folder, known)
    damage(folder / "state" / "a", how)
    with pytest.raises(HeadraceError, match="state/a") as error:
        backups.check(folder, known)
    assert error.value.code == 4 and error.value.hint


def test_a_file_is_taken_over_as_a_link_or_not_at_all(tmp_path: Path) -> None:
    folder = one(tmp_path / "t")
    (known,) = backups.of(folder).files
    assert backups.linked(folder, known, tmp_path / "b")
    assert os.path.samefile(folder / "state" / "a", tmp_path / "b")
    assert not backups.linked(folder, known, tmp_path / "none" / "b")
    (folder / "state" / "a").write_bytes(b"longer than before")
    assert not backups.linked(folder, known, tmp_path / "c") and not (tmp_path / "c").exists()


def test_a_growing_file_is_copied_up_to_the_size_that_it_had(tmp_path: Path) -> None:
    source = tmp_path / "log"
    source.write_bytes(b"x" * 100)
    size, changed, digest = backups.copy(source, tmp_path / "copy")
    assert (size, changed) == (100, source.stat().st_mtime_ns)
    assert backups.measured(tmp_path / "copy") == (size, changed, digest)
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(OSError, match="link"):
        backups.copy(tmp_path / "link", tmp_path / "of a link")
    (tmp_path / "dir").mkdir()
    with pytest.raises(IsADirectoryError):
        backups.copy(tmp_path / "dir", tmp_path / "of a folder")


def test_a_disk_that_is_too_small_is_said_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = shutil.disk_usage(tmp_path)
    backups.refuse_small(tmp_path, usage.free // 2)
    with pytest.raises(ResourceError, match="GB are free"):
        backups.refuse_small(tmp_path, usage.free * 2)


def test_a_target_in_the_state_folder_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    for inside in (root, root / "backups", tmp_path / "link" / "b"):
        with pytest.raises(UsageError, match="is inside the state folder"):
            backups.outside(inside, root)
    backups.outside(tmp_path / "backups", root)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        backups.outside(tmp_path / "file", root)
