"""Damaged small files are set aside with a warning, whatever they hold and wherever they lie."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace.infra.files import quarantine
from headrace.infra.files.quarantine import as_object, contents, read, read_all, set_aside
from headrace.infra.state.state_dir import home


def at(name: str, content: bytes = b"{}") -> Path:
    path = home().root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_an_object_or_are_set_aside(content: bytes) -> None:
    path = at("outbox/x.json", content)
    try:
        good = isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        good = False
    before = len(list(contents()))
    value = read(path, as_object)
    assert (value is not None) == good == path.exists()
    assert len(list(contents())) == before + (not good)


def test_what_is_set_aside_again_overwrites_nothing() -> None:
    for content in (b"one", b"two", b"three"):
        set_aside(at("windows/a/x.json", content), "a test")
    assert sorted(p.read_bytes() for p in contents()) == [b"one", b"three", b"two"]
    assert all(p.is_relative_to(home().quarantine / "windows" / "a") for p in contents())


def test_what_is_not_there_is_no_damage(caplog: pytest.LogCaptureFixture) -> None:
    assert read(home().root / "none.json", as_object) is None
    assert read_all([home().root / "none.json", at("a.json")], as_object) == [
        (home().root / "a.json", {})
    ]
    assert not caplog.text


def test_a_large_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_BYTES", 1 << 20)
    path = at("outbox/x.json", b"{}" + b" " * (1 << 20))
    assert read(path, as_object) is None and not path.exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_another_accounts_file_is_left_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    path = at("outbox/x.json")
    path.chmod(0)
    assert read(path, as_object) is None and path.exists() and "may not read" in caplog.text


def test_a_file_outside_the_state_folder_stays_on_its_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"no JSON")
    assert read(path, as_object) is None
    assert (tmp_path / "quarantine" / "x.json").read_bytes() == b"no JSON"


def test_the_warning_says_what_is_missing_without_what_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Record(BaseModel):
        class Part(BaseModel):
            number: int

        part: Part

    path = at("outbox/x.json", b'{"part": {"number": "some text"}, "more": 1}')
    assert read(path, Record.model_validate) is None
    assert "(part.number: Input should be a valid integer" in caplog.text
    assert "some text" not in caplog.text


def test_a_moment_needs_its_zone() -> None:
    assert quarantine._instant("2026-01-01T00:00:00+00:00")
    for text in ("2026-01-01T00:00:00", "2026-01-01", "now", ""):
        with pytest.raises(ValueError, match=r"zone|isoformat"):
            quarantine._instant(text)
