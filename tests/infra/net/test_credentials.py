"""Secrets of a state folder: made once and kept, or given and not kept."""

import json
import stat
from pathlib import Path

import pytest

from headrace.infra.errors import UsageError
from headrace.infra.net import credentials
from headrace.infra.net.credentials import NAMES, variable
from headrace.infra.state.state_dir import Home


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert credentials.known(home) is None
    made = credentials.make(home)
    assert made == credentials.make(home) == credentials.known(home)
    assert stat.S_IMODE(credentials.file(home).stat().st_mode) == 0o600
    values = [getattr(made, n) for n in NAMES]
    assert len(set(values)) == len(NAMES) and all(len(v) >= 40 for v in values)
    assert all(v not in repr(made) for v in values), "it would stand in a log"
    assert credentials.make(Home(tmp_path / "other")) != made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_given_secret_is_used_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by_file: bool
) -> None:
    secret, home = "given-by-the-owner", Home(tmp_path / "home")
    if by_file:
        (tmp_path / "secret").write_text(f"{secret}\n")
        monkeypatch.setenv(f"{variable(name)}_FILE", str(tmp_path / "secret"))
    else:
        monkeypatch.setenv(variable(name), secret)
    assert getattr(credentials.make(home), name) == secret
    assert secret not in credentials.file(home).read_text()
    assert set(json.loads(credentials.file(home).read_text())) == {*NAMES} - {name}
    monkeypatch.undo()
    assert credentials.known(home) is None, "it is missing here"


@pytest.mark.parametrize("odd", ["short", "with a blank in it", "quote'quote'quote", "a:b" * 9])
def test_a_secret_that_would_break_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setenv(variable("mlflow_password"), odd)
    with pytest.raises(UsageError, match="HEADRACE_MLFLOW_PASSWORD") as error:
        credentials.make(Home(tmp_path))
    assert odd not in error.value.message + error.value.hint


def test_a_secret_file_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SPARK_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"HEADRACE_SPARK_SECRET_FILE=.*none"):
        credentials.make(Home(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"mlflow_password": "x"}'])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    credentials.file(home).parent.mkdir()
    credentials.file(home).write_text(content)
    assert credentials.known(home) is None
    assert credentials.make(home) == credentials.known(home)


def test_a_new_stack_has_new_secrets_but_those_that_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    monkeypatch.setenv(variable("mlflow_password"), "given-by-the-user")
    first = credentials.make(home, anew=True)
    assert credentials.make(home) == credentials.known(home) == first, "a stack that is up"
    second = credentials.make(home, anew=True)
    same = {name for name in NAMES if getattr(first, name) == getattr(second, name)}
    assert same == {"mlflow_password"} and credentials.known(home) == second
