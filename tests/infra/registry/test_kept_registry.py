"""One state folder keeps to one registry: a shell that names another, or none, is refused."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.net import servers
from headrace.infra.registry import kept_registry
from headrace.infra.registry.versions import Registry
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.services import MARK
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Tracking

A, B = "https://mlflow.example", "http://mlflow.other:5000"
NAMED: dict[str, tuple[str, bool, str | None]] = {
    # (what was noted, whether it is refused, what the environment names)
    "nothing noted, none named": ("", False, None),
    "nothing noted, one named": ("", False, A),
    "own, none named": ("own", False, None),
    "own, one named": ("own", True, A),
    "theirs, none named": (A, True, None),
    "theirs, the same named": (A, False, A),
    "theirs, the same with a slash": (A, False, f"{A}/"),
    "theirs, the same with a login": (A, False, "https://alice:secret@mlflow.example"),
    "theirs, the same in capitals": (A, False, "https://MLflow.Example"),
    "theirs, another named": (A, True, B),
    "theirs, another port": (A, True, f"{A}:444"),
    "theirs, another path": (A, True, f"{A}/team"),
    "a database, the same": ("postgresql://u:secret@h/m", False, "postgresql://u:secret@h/m"),
    "a database, another account": ("postgresql://u:secret@h/m", False, "postgresql://v:x@h/m"),
    "a database, another": ("postgresql://u:secret@h/m", True, "postgresql://u:secret@h/n"),
}


@pytest.mark.parametrize("case", NAMED)
def test_another_registry_than_the_kept_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    noted, refused, named = NAMED[case]
    home = Home(tmp_path)
    if noted:
        kept_registry.note(home, noted, own=noted == "own")
    if named:
        monkeypatch.setenv(servers.MLFLOW, named)
    if not refused:
        kept_registry.check(home, endpoints(home))
        return
    with pytest.raises(UsageError) as error:
        kept_registry.check(home, endpoints(home))
    said = f"{error.value.message} {error.value.hint}"
    assert error.value.code == 2 and servers.MLFLOW in said and "secret" not in said
    assert str(kept_registry.file(home)) in error.value.hint
    if noted != "own":
        kept = noted.replace("u:secret@", "")
        assert f"export {servers.MLFLOW}={kept} " in error.value.hint
    as_it_says(home, error.value)
    kept_registry.check(home, endpoints(home))


def as_it_says(home: Home, error: UsageError) -> None:
    """Move to the other registry on purpose."""
    found = re.search(r"write (\{.*\}) into (\S+)", error.hint)
    assert found is not None and found[2] == str(kept_registry.file(home))
    kept_registry.file(home).write_text(found[1])


def test_no_password_is_noted_and_the_first_note_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept_registry.note(home, "https://alice:secret@mlflow.example/?token=secret", own=False)
    kept_registry.note(home, B, own=False)
    assert json.loads(kept_registry.file(home).read_text()) == {"tracking_uri": A}


@pytest.mark.parametrize("own", [True, False])
def test_the_first_version_notes_where_it_is_registered(tmp_path: Path, own: bool) -> None:
    home = Home(tmp_path / "state")
    store = Tracking(home, None if own else f"sqlite:///{tmp_path / 'theirs.db'}", own)
    if not own:  # as their server would; a file store of the test's own folder
        store.client.create_experiment("headrace", str(tmp_path / "artifacts"))
    export = home.runs / "r" / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    run = store.start_run("r", {})
    assert not kept_registry.file(home).exists()
    Registry(store, "m").register(run, export, str(home.root / "releases" / "r"), {})
    said = json.loads(kept_registry.file(home).read_text())
    assert said == {"tracking_uri": None if own else store.uri}


def test_a_folder_of_an_earlier_version_keeps_to_its_own_store_once_it_has_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    store = Tracking(home)
    store.experiment()
    monkeypatch.setenv(servers.MLFLOW, A)
    kept_registry.check(home, endpoints(home))
    store.client.create_registered_model("m")
    run = store.start_run("r", {})
    store.client.create_model_version("m", "s", run)
    with pytest.raises(UsageError, match="in its own store") as error:
        kept_registry.check(home, endpoints(home))
    as_it_says(home, error.value)
    kept_registry.check(home, endpoints(home))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Any]:
    """Make a state folder's stack count as up: its supervisor is a process with its mark."""
    started = []

    def start(tracking_uri: str, *names: str) -> Home:
        home = Home(tmp_path / "state")
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        started.append(subprocess.Popen(sleep, env={**os.environ, MARK: "m"}))
        services = [{"name": n, "address": n, "health": None, "later": False} for n in names]
        said = {"home": str(home.root), "pid": started[-1].pid, "mark": "m", "ready": True,
                "prefect_api": "http://127.0.0.1:4/api", "tracking_uri": tracking_uri,
                "spark_master": "spark://127.0.0.1:7", "event_log": "/e",
                "services": services}  # fmt: skip
        storage.write_json(home.stack / "stack.json", said)
        return home

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_own_stack_up_and_down_is_one_registry_however_it_is_named(
    up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = "http://127.0.0.1:5"
    home = up(served, "prefect", "mlflow")
    kept_registry.note(home, served, own=True)
    for named in (None, served, f"{served}/", home.mlflow_uri):
        if named:
            monkeypatch.setenv(servers.MLFLOW, named)
        kept_registry.check(home, endpoints(home))
    (home.stack / "stack.json").unlink()
    for named in (home.mlflow_uri, ""):
        monkeypatch.setenv(servers.MLFLOW, named)
        kept_registry.check(home, endpoints(home))


def test_a_stack_that_is_up_for_another_server_counts_before_anything_is_noted(up: Any) -> None:
    home = up(A, "prefect")
    with pytest.raises(
        UsageError, match=f"keeps its models on {A}, and {servers.MLFLOW} names no"
    ) as error:
        kept_registry.check(home, endpoints(home))
    as_it_says(home, error.value)
    kept_registry.check(home, endpoints(home))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"tracking_uri": 1}', b"\xff"])
def test_a_damaged_note_refuses_rather_than_letting_everything_look_unused(
    tmp_path: Path, content: bytes
) -> None:
    home = Home(tmp_path)
    kept_registry.file(home).write_bytes(content)
    with pytest.raises(UsageError, match=r"registry\.json: this doesn't say"):
        kept_registry.check(home, endpoints(home))
