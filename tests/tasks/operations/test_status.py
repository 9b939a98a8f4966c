"""Where everything stands, without a stack; with one: tests/e2e/test_doors.py."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from headrace.flows.summaries.status import status_screen
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.net.servers import Server
from headrace.infra.stack.events import Payload, drift_event, to_outbox
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry, tracking
from headrace.tasks.model_refs import resolve_model
from headrace.tasks.operations.status import Champion, Waiting, WaitingAlert, status
from headrace.tasks.retraining.verdicts import Finding, keep_verdict


def test_before_there_is_anything() -> None:
    said = status(Shared())
    assert said.champion is None and said.waiting == [] and said.window is None
    assert said.running == [] == said.next
    assert said.decision is None and said.stack is None
    assert said.disk.free_bytes > 0


def test_what_waits_names_its_page_and_its_rival(state: Path) -> None:
    models, folder = registry("headrace"), state / "runs" / "one"
    (folder / "export").mkdir(parents=True)
    run = tracking().start_run("gate", {})
    version = models.register(run, folder / "export", str(state / "releases/r"), {})
    models.mark_waiting(version, None, run)
    waits = Waiting("1", run, compared_with=None, report=None)
    assert status(Shared()).waiting == [waits]
    (folder / "gate.html").write_text("why")
    assert status(Shared()).waiting == [replace(waits, report=str(folder / "gate.html"))]


def test_a_champion_of_another_machine_is_shown_with_what_is_missing(state: Path) -> None:
    models, folder = registry("headrace"), state / "runs" / "one"
    (folder / "export").mkdir(parents=True)
    run = tracking().start_run("gate", {})
    tags = {"release_id": "r"}
    version = models.register(run, folder / "export", str(state / "releases/r"), tags)
    models.decide(version, True, "A", "b")
    said = status(Shared()).champion
    assert said and said.version == version and said.release_id == "r" and said.since
    assert said.missing == f"{state}/releases/r: no such release"
    assert f"{state}/releases/r: no such release" in status_screen(status(Shared()))
    with pytest.raises(InputError, match=f"no export there, which version {version} of headrace"):
        resolve_model("champion", Shared())


def test_a_champion_that_headrace_did_not_register_is_shown(state: Path) -> None:
    store = tracking()
    store.client.create_registered_model("headrace")
    run = store.start_run("theirs", {})
    store.client.create_model_version("headrace", "s", run, tags={"waiting": "true"})
    assert [w.version for w in status(Shared()).waiting] == ["1"]
    store.client.set_registered_model_alias("headrace", "champion", "1")
    missing = "version 1 of headrace lacks the tag `release`: it was not registered by headrace"
    assert status(Shared()).champion == Champion("1", None, missing, since=None)
    assert "since none" in status_screen(status(Shared()))
    with pytest.raises(UsageError, match="lacks the tag `export`"):
        resolve_model("champion", Shared())


def test_the_last_window_and_what_the_state_takes() -> None:
    finding = Finding(drift=True, p_value=0.001, effect=0.4, drifted=("lang",), report="/r.html")
    keep_verdict("/w.jsonl", finding)
    (home().root / "big").write_bytes(b"x" * 5_000_000)
    said = status(Shared())
    assert said.window and said.window.window == "/w.jsonl" and said.window.drift is True
    assert 5_000_000 < said.disk.state_bytes < 20_000_000
    parts = said.disk.parts
    assert sum(parts.values()) == said.disk.state_bytes and parts["other"] >= 5_000_000
    assert parts["mlflow"] > 0


@pytest.mark.parametrize("error", [HeadraceError("no answer"), httpx.ConnectError("no answer")])
def test_a_silent_server_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def silent(_: Server) -> None:
        raise error

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr("headrace.tasks.operations.status._asked", silent)
    said = status(Shared())
    assert said.stack == "http://127.0.0.1:9" and "does not answer" in (said.stack_fault or "")
    assert said.champion is None and said.running == [] == said.paused


def test_alerts_in_the_outbox_are_shown_with_the_reason() -> None:
    path = to_outbox(home(), drift_event("headrace", Payload(window="/w")))
    why = "no server is up: `headrace up` sends it"
    assert status(Shared()).alerts == [WaitingAlert("/w", str(path), why)]
