"""Prefect and MLflow servers that somebody else runs: `up` starts only the rest, all goes there."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port
from headrace.infra.stack.pools import TEMPLATE
from headrace.infra.stack.prefect_api import request

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1800)]

WORD = "admin:their password"
THEIR_POOL = {"name": "spark", "type": "process", "description": "of the company"}
POOLS = ("--set", "pools.training.name=gpu")


@dataclass
class Theirs:
    """Their servers, and a state folder that knows them."""

    home: Path
    variables: dict[str, str]
    headrace: Any
    services: list[str] = field(default_factory=list)

    def run(self, *args: str, **changed: str) -> tuple[int, dict[str, Any], str]:
        with patch.dict(os.environ, {**self.variables, **changed}):
            code, said, err = self.headrace(self.home, *args)
        return code, said, err

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        with patch.dict(os.environ, self.variables):
            return request(self.variables["PREFECT_API_URL"], method, path, body)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, headrace: Any) -> Iterator[Theirs]:
    root = tmp_path_factory.mktemp("theirs")
    prefect, mlflow = free_port(), free_port()
    bin_ = Path(sys.executable).parent
    env = {
        **os.environ, "PREFECT_HOME": str(root / "prefect"), "PREFECT_SERVER_API_AUTH_STRING": WORD,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # fmt: skip
    at = ("--host", "127.0.0.1", "--port")
    commands = (
        (bin_ / "prefect", "server", "start", *at, prefect),
        (bin_ / "mlflow", "server", *at, mlflow, "--workers", 1, "--backend-store-uri",
         f"sqlite:///{root / 'mlflow.db'}", "--artifacts-destination", root / "artifacts"),
    )  # fmt: skip
    started = []
    variables = {
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api", "PREFECT_API_AUTH_STRING": WORD,
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
    }  # fmt: skip
    made = Theirs(root / "home", variables, headrace)
    try:
        for command in commands:
            with open(root / f"{Path(str(command[0])).name}.log", "wb") as log:
                started.append(
                    subprocess.Popen([str(x) for x in command], env=env, stdout=log, stderr=log,
                                     start_new_session=True)
                )  # fmt: skip
        for url in (f"http://127.0.0.1:{prefect}/api/health", f"http://127.0.0.1:{mlflow}/health"):
            end = time.monotonic() + 240
            while not answers(url):
                assert time.monotonic() < end, url
                time.sleep(0.5)
        made.ask("POST", "/work_pools/", THEIR_POOL)
        code, said, err = made.run("up", *POOLS)
        assert code == 0, err
        made.services = [s["name"] for s in said["services"]]
        code, _, err = made.run("deploy", *POOLS)
        assert code == 0, err
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            headrace(made.home, "down")
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def test_up_starts_only_what_is_missing(theirs: Theirs) -> None:
    assert theirs.services == ["worker-spark", "worker-training", "spark-master", "spark-worker-1",
                               "spark-worker-2", "spark-history"]  # fmt: skip
    assert theirs.run("up", *POOLS)[0] == 0
    code, said, _ = theirs.run("up", PREFECT_API_URL="", MLFLOW_TRACKING_URI="")
    assert code == 2 and "the stack is up with" in said["error"]["message"]


def test_doctor_says_which_servers_are_used_and_whether_they_let_us_in(theirs: Theirs) -> None:
    _, said, _ = theirs.run("doctor")
    for key, name in (("prefect_api", "PREFECT_API_URL"), ("tracking_uri", "MLFLOW_TRACKING_URI")):
        assert said[key] == theirs.variables[name]
    found = {c["name"]: c for c in said["checks"] if c["name"].endswith(" server")}
    assert len(found) == 2 and all(c["ok"] and "named by" in c["mend"] for c in found.values())
    _, said, _ = theirs.run("doctor", PREFECT_API_AUTH_STRING="admin:wrong")
    found = {c["name"]: c for c in said["checks"]}
    assert not found["prefect server"]["ok"] and "credentials" in found["prefect server"]["mend"]


def test_a_wrong_password_is_said_before_any_work(theirs: Theirs) -> None:
    for verb in (("deploy",), ("evaluate", "--model", "champion")):
        code, said, _ = theirs.run(*verb, PREFECT_API_AUTH_STRING="admin:wrong")
        assert code == 2 and "refuses the credentials" in said["error"]["message"], verb


def test_deployments_stand_there_in_the_pools_that_were_named(theirs: Theirs) -> None:
    found = theirs.ask("POST", "/deployments/filter", {})
    assert len(found) == 6 and {d["work_pool_name"] for d in found} == {"spark", "gpu"}
    pools = {p["name"]: p for p in theirs.ask("POST", "/work_pools/filter", {})}
    assert pools["spark"]["description"] == "of the company", "it stays as it was"
    assert pools["spark"]["concurrency_limit"] is None
    assert pools["gpu"]["base_job_template"] == TEMPLATE


def test_a_run_there_is_done_by_our_worker(theirs: Theirs) -> None:
    deployment = theirs.ask("GET", "/deployments/name/monitor/hourly")["id"]
    run = theirs.ask("POST", f"/deployments/{deployment}/create_flow_run", {})["id"]
    end = time.monotonic() + 900
    while time.monotonic() < end:
        state = theirs.ask("GET", f"/flow_runs/{run}")["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
            break
        time.sleep(1)
    # In a new state folder there is nothing to compare with, which is what the run says.
    assert state["type"] == "FAILED" and "champion" in state["message"], state


def test_status_shows_ours_only(theirs: Theirs) -> None:
    flow = theirs.ask("POST", "/flows/", {"name": "of the company"})["id"]
    body = {"flow_id": flow, "state": {"type": "RUNNING"}, "name": "theirs"}
    theirs.ask("POST", "/flow_runs/", body)
    _, said, _ = theirs.run("status")
    assert said["stack"] == theirs.variables["PREFECT_API_URL"].removesuffix("/api")
    assert said["stack_fault"] is None and said["running"] == []
    assert {n["flow"] for n in said["next"]} == {"curate", "monitor", "retrain"}


def test_an_alert_makes_a_run_there(theirs: Theirs, tmp_path: Path) -> None:
    window = tmp_path / "w.jsonl"
    window.write_text('{"text": "a"}\n')
    code, said, _ = theirs.run("alert", "--window", str(window))
    assert code == 0 and said["sent"], said
    end = time.monotonic() + 120
    wanted = {"flows": {"name": {"any_": ["retrain"]}},
              "flow_runs": {"state": {"name": {"not_any_": ["Scheduled"]}}}}  # fmt: skip
    while time.monotonic() < end and not theirs.ask("POST", "/flow_runs/filter", wanted):
        time.sleep(1)
    assert theirs.ask("POST", "/flow_runs/filter", wanted)


RECORD = """
import sys
from headrace.tasks.mlflow_log import registry, tracking
store = tracking()
run = store.start_run("stage", {"headrace.key": "k"})
store.log_text(run, "figures", "page.html")
store.finish(run)
print(run, store.client.get_run(run).info.artifact_uri, store.run_url(run))
"""


def test_runs_and_their_artifacts_go_to_their_mlflow(theirs: Theirs) -> None:
    env = {**os.environ, **theirs.variables, "HEADRACE_HOME": str(theirs.home)}
    ran = subprocess.run([sys.executable, "-c", RECORD], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-1500:]
    run, artifacts, page = ran.stdout.splitlines()[-1].split()
    assert artifacts.startswith("mlflow-artifacts:") and run in artifacts
    assert page.startswith(theirs.variables["MLFLOW_TRACKING_URI"])
    kept = list((theirs.home.parent / "artifacts").rglob("page.html"))
    assert [p.read_text() for p in kept] == ["figures"]
    assert not (theirs.home / "mlflow.db").exists()


def test_a_shell_without_their_address_is_refused_by_name(theirs: Theirs) -> None:
    for verb in (("status",), ("gc", "--keep", "0")):
        code, said, _ = theirs.run(*verb, MLFLOW_TRACKING_URI="")
        address = theirs.variables["MLFLOW_TRACKING_URI"]
        assert code == 2 and f"export MLFLOW_TRACKING_URI={address}" in said["error"]["hint"]


def test_env_prints_their_addresses_and_credentials(theirs: Theirs) -> None:
    _, said, _ = theirs.run("env")
    assert theirs.variables.items() <= said.items() and "SPARK_CONF_DIR" in said
    assert "HEADRACE_OWN_SERVERS" not in said
