"""The three doors on real servers: up, deploy, an alert that becomes a model, a person, down.

The tests stand in the order of a day and share one stack, on a copy of the chain's state folder.
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.infra.stack.services import MARK

NAMES = ["prefect", "worker-spark", "worker-training", "mlflow", "spark-master", "spark-worker-1",
         "spark-worker-2", "spark-history"]  # fmt: skip
pytestmark = [pytest.mark.server, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def doors(
    open_doors: Callable[..., Any],
    state_copy: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("doors") / "home"
    state_copy(home)
    with open_doors(home) as made:
        yield made


def test_up_brings_every_service_and_again_changes_nothing(doors: Any) -> None:
    assert [s["name"] for s in doors.services] == NAMES
    assert all(s["state"] == "running" and psutil.pid_exists(s["pid"]) for s in doors.services)
    assert doors.run("up")["services"] == doors.services
    said = doors.run("doctor")
    assert said["prefect_api"].startswith("http://127.0.0.1:")
    assert said["tracking_uri"].startswith("http://127.0.0.1:")
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("HEADRACE_HOME") == str(doors.home)
            places = process.net_connections("tcp") if ours else []
        except psutil.Error:
            continue
        for place in places:
            if place.status == psutil.CONN_LISTEN:
                assert place.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), process.cmdline()


def test_deploying_twice_changes_nothing(doors: Any) -> None:
    def registered() -> Any:
        found = doors.request("POST", "/deployments/filter", {})
        autos = doors.request("POST", "/automations/filter", {})
        return (
            sorted((d["id"], d["name"], [s["schedule"]["cron"] for s in d["schedules"]])
                   for d in found),
            sorted((a["id"], a["name"]) for a in autos),
        )  # fmt: skip

    names = doors.deploy()
    once = registered()
    assert doors.deploy() == names and registered() == once
    assert sorted(names) == ["curate/daily", "evaluate/on-demand", "lifecycle/on-demand",
                             "monitor/hourly", "retrain/on-drift", "retrain/weekly"]  # fmt: skip
    assert len(once[1]) == 1


def test_a_shifted_window_becomes_the_champion_unattended(doors: Any) -> None:
    names, before = doors.deploy(), doors.champion()
    old = doors.ids(names["retrain/on-drift"])
    shutil.copy(doors.chain["other"], doors.home / "inbox" / "people.jsonl")
    watched = doors.start(names["monitor/hourly"])
    assert watched["state"]["name"] == "Drift", watched["state"]
    begun = doors.new_run(names["retrain/on-drift"], old)
    done = doors.end_of(begun["id"])
    assert done["state"]["name"] == "Promoted", done["state"]
    after = doors.champion()
    assert after != before and done["name"].endswith(f"version-{after}")
    assert len(doors.ids(names["retrain/on-drift"]) - old) == 1
    assert {"progress", "ledger", "decision", "links"} <= set(doors.artifacts(begun["id"]))
    said = "\n".join(doors.logs(begun["id"]))
    assert "scan:" in said and "learning the window:" in said
    again = doors.start(names["monitor/hourly"])
    assert again["state"]["name"] == "Cached"


@pytest.mark.slow
def test_the_same_alert_again_is_a_no_op_that_says_so(doors: Any) -> None:
    deployment, window = doors.deploy()["retrain/on-drift"], doors.chain["other"]
    doors.end_of(doors.alert(deployment, window)["id"])
    before = doors.champion()
    done = doors.end_of(doors.alert(deployment, window)["id"])
    assert done["state"]["name"] == "Cached" and "already" in done["state"]["message"]
    assert doors.champion() == before


def test_a_damaged_window_moves_nothing_and_the_owner_is_told(doors: Any, damaged: Path) -> None:
    names, before = doors.deploy(), doors.champion()
    old = doors.ids(names["retrain/on-drift"])
    event: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "headrace.drift.detected",
        "resource": {"prefect.resource.id": "headrace.model.headrace"},
        "payload": {"window": str(damaged), "p_value": 0.001},
    }
    doors.request("POST", "/events", [event])  # as another monitor would
    refused = doors.end_of(doors.new_run(names["retrain/on-drift"], old)["id"])
    assert refused["state"]["name"] == "Refused" and "alert_roots" in doors.told["reason"]
    names = doors.deploy(f"retrain.alert_roots=[{damaged.parent}]")
    old = doors.ids(names["retrain/on-drift"])
    doors.request("POST", "/events", [{**event, "id": str(uuid.uuid4())}])
    done = doors.end_of(doors.new_run(names["retrain/on-drift"], old)["id"])
    assert done["state"]["type"] == "COMPLETED" and done["state"]["name"] == "Refused"
    assert doors.champion() == before
    notice = doors.told
    assert notice["flow"] == "retrain" and notice["state"] == "Refused"
    assert "the window keeps" in notice["reason"] and "run" in notice["links"]


@pytest.mark.slow
def test_a_failed_run_tells_the_command_that_resumes(doors: Any, tmp_path: Path) -> None:
    names = doors.deploy()
    missing = str(tmp_path / "none.jsonl")
    done = doors.start(names["curate/daily"], input=[missing])
    assert done["state"]["type"] == "FAILED"
    notice = doors.told
    assert notice["state"] == "Failed" and missing in notice["reason"]
    assert notice["command"].endswith(f"prefect flow-run retry {done['id']}")
    Path(missing).write_text(Path(doors.chain["args"][2]).read_text()[:200_000])
    ran = subprocess.run(["bash", "-c", notice["command"]], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert doors.end_of(done["id"], again=True)["state"]["type"] == "COMPLETED"
    assert notice["links"]["run"].endswith(done["id"])


def test_status_knows_where_everything_stands(doors: Any) -> None:
    said = doors.run("status")
    assert said["champion"]["version"] and said["champion"]["since"]
    assert said["window"]["drift"] is True and said["decision"]["action"] == "promote"
    assert {n["flow"] for n in said["next"]} & {"curate", "monitor", "retrain"}
    made = [r for r in said["alert_runs"] if r["state"] == "Promoted"]
    assert made and made[0]["event"] and made[0]["windows"][0].endswith(".window.json")


@pytest.mark.slow
def test_a_new_release_starts_the_chain_once(doors: Any) -> None:
    text = doors.chain["args"][2]
    names = doors.deploy(f"input=[{text}]", "after_release=lifecycle/on-demand")
    curated = doors.start(names["curate/daily"])
    assert curated["state"]["type"] == "COMPLETED", curated["state"]
    assert "lifecycle/on-demand runs on it" in curated["state"]["message"]
    again = doors.start(names["curate/daily"])
    assert again["state"]["name"] == "Cached"
    (begun,) = doors.request("POST", "/flow_runs/filter",
                       {"deployments": {"id": {"any_": [names["lifecycle/on-demand"]]}}}
                       )  # fmt: skip
    assert begun["parameters"]["release"].startswith(str(doors.home / "releases"))
    done = doors.end_of(begun["id"])
    assert done["state"]["type"] == "COMPLETED", done["state"]
    assert doors.ledger(begun["id"]) == doors.ledger(curated["id"])


@pytest.mark.slow
def test_a_server_that_is_killed_comes_back(doors: Any) -> None:
    before = doors.pid("mlflow")
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        now = next(s for s in doors.run("up")["services"] if s["name"] == "mlflow")
        if now["pid"] != before:
            break
    assert now["pid"] != before and doors.champion()


def test_down_leaves_nothing(doors: Any) -> None:
    assert doors.run("down")["stopped"] == NAMES
    left = []
    for process in psutil.process_iter():
        try:
            env = process.environ()
        except psutil.Error:
            continue
        if MARK in env and env.get("HEADRACE_HOME") == str(doors.home):
            left.append(process.cmdline())
    assert left == []
    assert doors.run("doctor")["prefect_api"] is None
    assert doors.run("down")["stopped"] == []


@pytest.mark.slow
def test_an_alert_that_is_raised_while_all_is_down_is_caught_up(doors: Any) -> None:
    doors.up()
    deployment = doors.deploy()["retrain/on-drift"]
    old = {r["id"] for r in doors.runs(deployment)}
    doors.run("down")
    assert not doors.run("alert", "--window", str(doors.chain["other"]))["sent"]
    doors.up()
    done = doors.end_of(doors.new_run(deployment, old)["id"])
    assert done["parameters"]["alert"]["window"] == str(doors.chain["other"])
    assert not list((doors.home / "outbox").glob("*.json"))
