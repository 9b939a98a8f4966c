"""Which runs a worker takes up; the worker itself runs in tests/e2e."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect_process import prefect_process

from headrace.infra.net import servers
from headrace.infra.stack.prefect_api import request
from headrace.infra.stack.worker import (
    ENGINE,
    RUN_ID,
    WATCH_SECONDS,
    Watch,
    command,
    keep_looking,
    take_up,
)
from headrace.infra.state.state_dir import home

STATES = {"gone": "RUNNING", "pending": "PENDING", "ending": "CANCELLING",
          "at-work": "RUNNING", "to-end": "CANCELLING", "just-ended": "RUNNING"}  # fmt: skip


def test_only_what_no_process_works_at_begins_again(json_server: Callable[..., Any]) -> None:
    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        asked = sum(p == "/flow_runs/filter" for p, _ in got)
        runs = [{"id": k, "state": {"type": v}} for k, v in STATES.items()
                if k != "just-ended" or asked == 1]  # fmt: skip
        return 200, runs if path == "/flow_runs/filter" else {}

    # The original of a copied state folder has runs of the same ids.
    away = {**os.environ, "HEADRACE_HOME": "/elsewhere"}
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "at-work"})
    cancelled = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "to-end"})
    original = subprocess.Popen([*sleep, ENGINE], env={**away, RUN_ID: "pending"})
    # What a run started may outlive it for a moment.
    child = subprocess.Popen(sleep, env={**os.environ, RUN_ID: "gone"})
    try:
        with json_server(answer) as (url, got):
            told: list[str] = []
            assert take_up(url, "training", lambda *a: told.append(a[0])), "a run is at work"
            assert cancelled.wait(10)
    finally:
        cancelled.kill()
        process.kill()
        child.kill()
        assert original.poll() is None
        original.kill()
    assert got[0][1]["work_pools"] == {"name": {"any_": ["training"]}}
    said = {p.split("/")[2]: body["state"] for p, body in got if p.endswith("set_state")}
    waits = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    assert said.pop("ending")["type"] == "CANCELLED" and told == ["ending"]
    assert said == {"gone": waits, "pending": waits}


def test_without_any_run_the_worker_may_begin(json_server: Callable[..., Any]) -> None:
    with json_server(lambda *_: (200, [])) as (url, got):
        assert not take_up(url, "spark") and len(got) == 1


class Pool:
    """What a Prefect server answers about the runs of a pool."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.set: list[tuple[str, str]] = []

    def __call__(self, path: str, got: list[Any]) -> tuple[int, Any]:
        if path == "/flow_runs/filter":
            return 200, [{"id": k, "state": {"type": v}} for k, v in self.states.items()]
        run, state = path.split("/")[2], got[-1][1]["state"]["type"]
        self.set.append((run, state))
        self.states.pop(run)
        return 200, {}


def test_a_run_whose_process_is_gone_is_noticed_within_a_minute(
    json_server: Callable[..., Any],
) -> None:
    pool, now = Pool(), 0.0
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "at-work"})
    try:
        with json_server(pool) as (url, _):
            told: list[tuple[str, str]] = []
            watch = Watch(url, "training", now=lambda: now, ended=lambda *a: told.append(a[:2]))

            def noticed(seconds: float) -> float:
                """Seconds until something was done."""
                nonlocal now
                began = now
                while now - began < seconds:
                    now += WATCH_SECONDS
                    watch.look()
                    if pool.set:
                        break
                return now - began

            pool.states = {"at-work": "RUNNING"}
            noticed(300)
            assert pool.set == [], "a process works at it"
            process.kill()
            process.wait()
            assert noticed(60) < 60 and pool.set.pop() == ("at-work", "SCHEDULED")
            # The worker says itself how a run ended that it has just seen ending.
            pool.states = {"short": "RUNNING"}
            noticed(16)
            pool.states = {}
            noticed(16)
            pool.states = {"short": "RUNNING"}
            noticed(16)
            assert pool.set == [], "it has not been without a process for long"
            for state, then in (("PENDING", "SCHEDULED"), ("CANCELLING", "CANCELLED")):
                pool.states = {state: state}
                assert 20 < noticed(60) < 60 and pool.set.pop() == (state, then)
            # One that dies each time is not started for ever.
            ends = []
            for _ in range(4):
                pool.states = {"dies": "RUNNING"}
                noticed(60)
                ends.append(pool.set.pop()[1])
            assert ends == ["SCHEDULED"] * 3 + ["CRASHED"]
            assert told == [("CANCELLING", "CANCELLED"), ("dies", "CRASHED")]
    finally:
        process.kill()


def test_runs_of_other_machines_on_anothers_server_are_left_alone(
    json_server: Callable[..., Any],
) -> None:
    pool, now = Pool(), 0.0
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "here"})
    try:
        with json_server(pool) as (url, _):
            watch = Watch(url, "training", own=False, now=lambda: now)
            pool.states = {"here": "RUNNING", "elsewhere": "RUNNING", "there": "PENDING"}
            watch.look()
            process.kill()
            process.wait()
            for _ in range(40):
                now += WATCH_SECONDS
                watch.look()
                if pool.set:
                    pool.states["here"] = "RUNNING"  # another machine began it again
    finally:
        process.kill()
    assert pool.set == [("here", "SCHEDULED")]


def test_a_run_of_anothers_server_is_remembered_when_the_machine_starts_again(
    json_server: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, now = Pool(), 0.0
    pool.states = {"here": "RUNNING", "elsewhere": "RUNNING"}
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with json_server(pool) as (url, _):
        process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "here"})
        try:
            Watch(url, "training", own=False, now=lambda: now).look()
        finally:
            process.kill()
            process.wait()
        copy = tmp_path / "copy"
        shutil.copytree(home().root, copy)

        def look_for_minutes(of: str = "training") -> list[tuple[str, str]]:
            nonlocal now
            watch = Watch(url, of, own=False, now=lambda: now)
            for _ in range(20):
                now += WATCH_SECONDS
                watch.look()
            return pool.set

        assert look_for_minutes("other") == []
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_HOME", str(copy))
            assert look_for_minutes() == [], "a copy has runs of the same ids"
        assert look_for_minutes() == [("here", "SCHEDULED")]
        pool.states["here"] = "RUNNING"  # another machine began it again
        assert look_for_minutes() == [("here", "SCHEDULED")]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"folder": 1, "runs": 2}'])
def test_a_damaged_record_of_runs_stops_no_worker(
    content: str, json_server: Callable[..., Any]
) -> None:
    pool = Pool()
    pool.states = {"here": "RUNNING"}
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "here"})
    try:
        with json_server(pool) as (url, _):
            Watch(url, "training", own=False).look()
            (file,) = (home().stack / "runs").iterdir()
            file.write_text(content)
            Watch(url, "training", own=False).look()
            assert "here" in file.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_server_that_does_not_answer_ends_no_watch(
    monkeypatch: pytest.MonkeyPatch, json_server: Callable[..., Any], caplog: Any
) -> None:
    answers = iter([(500, {}), (200, [{"odd": 1}]), (200, [])])
    naps = iter([None, None, None])

    def sleep(_: float) -> None:
        try:
            next(naps)
        except StopIteration:
            raise KeyboardInterrupt from None

    with json_server(lambda *_: next(answers)) as (url, got):
        monkeypatch.setattr("headrace.infra.stack.worker.time.sleep", sleep)
        with pytest.raises(KeyboardInterrupt):
            keep_looking(Watch(url, "training").look)
        assert len(got) == 3 and caplog.text.count("runs can't be watched") == 2


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A real Prefect server: (its API, the environment of its workers)."""
    env = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "2",
           "PREFECT_SERVER_DATABASE_CONNECTION_URL":
           f"sqlite+aiosqlite:///{tmp_path}/p.db"}  # fmt: skip
    with prefect_process(tmp_path, env) as (api, _):
        yield api, {**env, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": api,
                    servers.OWN: json.dumps([api])}  # fmt: skip


@pytest.mark.server
def test_a_real_worker_notices_within_a_minute_that_the_process_of_a_run_is_gone(
    prefect: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    api, env = prefect
    request(api, "POST", "/work_pools/", {"name": "p", "type": "process", "concurrency_limit": 1})
    flow = request(api, "POST", "/flows/", {"name": "f"})["id"]
    body = {"name": "d", "flow_id": flow, "work_pool_name": "p", "entrypoint": "none.py:f"}
    deployment = request(api, "POST", "/deployments/", body)["id"]
    log = tmp_path / "worker.log"
    with open(log, "wb") as out:
        # As a shell starts what it puts into the background: SIGINT is ignored.
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
        worker = subprocess.Popen(command("p"), env=env, stdout=out, stderr=out)
        signal.signal(signal.SIGINT, ignored)
    try:
        end = time.monotonic() + 200
        while not any(
            w["status"] == "ONLINE"
            for w in request(api, "POST", "/work_pools/p/workers/filter", {})
        ):
            assert time.monotonic() < end and worker.poll() is None, log.read_text()[-2000:]
            time.sleep(0.5)
        # Its process has died, and the worker could not report it.
        start = {"state": {"type": "RUNNING"}}
        path = f"/deployments/{deployment}/create_flow_run"
        run = request(api, "POST", path, {"state": {"type": "PENDING"}})["id"]
        request(api, "POST", f"/flow_runs/{run}/set_state", {**start, "force": True})
        began = time.monotonic()
        while (request(api, "GET", f"/flow_runs/{run}", None))["state"]["type"] == "RUNNING":
            assert time.monotonic() - began < 60, log.read_text()[-2000:]
            time.sleep(1)
        states = request(api, "GET", f"/flow_run_states/?flow_run_id={run}", None)
        assert "AwaitingRetry" in {s["name"] for s in states}
        assert f"the process of run {run} is gone" in log.read_text()
        # The pool's only place is free: the worker starts it again.
        while len(request(api, "GET", f"/flow_run_states/?flow_run_id={run}", None)) < 4:
            assert time.monotonic() - began < 120, log.read_text()[-2000:]
            time.sleep(1)
    finally:
        worker.terminate()
        worker.wait(60)
    assert worker.returncode == 0, "as Prefect's own worker ends"
