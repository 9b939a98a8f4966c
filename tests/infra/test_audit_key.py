"""The key lies outside of the state folder, is its owner's alone, and is made once."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.infra import audit_key
from headrace.infra.audit_key import Reached
from headrace.infra.errors import UsageError
from headrace.infra.json_types import Json


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "headrace" / "audit.key"
    monkeypatch.setenv(audit_key.VARIABLE, str(path))
    return path


def test_it_lies_in_the_users_configuration_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(audit_key.VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert audit_key.key_file() == tmp_path / ".config" / "headrace" / "audit.key"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert audit_key.key_file() == tmp_path / "xdg" / "headrace" / "audit.key"
    monkeypatch.setenv(audit_key.VARIABLE, "/run/secrets/audit")
    assert audit_key.key_file() == Path("/run/secrets/audit")


def test_it_is_made_once_and_for_its_owner_alone(file: Path) -> None:
    assert audit_key.keys() == {}
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: audit_key.make(), range(8)))
    assert len({next(iter(m)) for m in made}) == 1 and made[0] == audit_key.keys()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [p.name for p in file.parent.iterdir()] == ["audit.key"]
    assert len(next(iter(made[0].values()))) == 32


@pytest.mark.parametrize("content", [b"", b"short", b"zz" * 32, b"\xff" * 64, b"ab" * 32 + b" x"])
def test_what_is_no_key_is_said_and_not_replaced(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(UsageError, match="audit key") as error:
        audit_key.make()
    assert audit_key.VARIABLE in error.value.hint and file.read_bytes() == content


def test_where_none_can_be_made_there_is_none(file: Path) -> None:
    file.parent.parent.mkdir()
    file.parent.write_text("a file, where a folder is wanted")
    assert audit_key.make() == {}
    audit_key.record(Path("/state/audit.jsonl"), Reached(1, "x", False))
    assert audit_key.reached(Path("/state/audit.jsonl")) is None


def test_how_far_a_file_came_is_noted_by_its_place(file: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "audit.jsonl", tmp_path / "b" / "audit.jsonl"
    one.parent.mkdir()
    other.parent.mkdir()
    for n in (1, 2):
        audit_key.record(one, Reached(n, f"hash {n}", True))
    assert audit_key.reached(one) == Reached(2, "hash 2", True)
    assert audit_key.reached(other) is None
    assert audit_key.record_file(one).parent == file.parent
    assert os.listdir(file.parent) == [audit_key.record_file(one).name]
    one.parent.rename(tmp_path / "moved")
    one.parent.mkdir()
    assert audit_key.reached(one) is None, "another folder at the same path"
    audit_key.record_file(one).write_text("[]")
    assert audit_key.reached(one) is None


def test_a_signature_is_of_the_content_and_the_key() -> None:
    entry: dict[str, Json] = {"a": 1, "b": "测试"}
    signed = audit_key.sign(b"key", entry)
    assert signed == audit_key.sign(b"key", {"b": "测试", "a": 1})
    assert signed != audit_key.sign(b"kez", entry) != audit_key.sign(b"key", {**entry, "a": 2})
