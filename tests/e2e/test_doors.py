"""The three doors on real servers: up, deploy, an alert that becomes a model, a person, down.

The tests stand in the order of a day and share one stack, on a copy of the chain's state folder.
"""

import http.server
import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.infra.prefect_api import request
from headrace.infra.stack import MARK

Command = Callable[..., tuple[int, dict[str, Any], str]]
NAMES = ["prefect", "worker-spark", "worker-training", "mlflow", "spark-master", "spark-worker-1",
         "spark-worker-2", "spark-history"]  # fmt: skip
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
pytestmark = [pytest.mark.server, pytest.mark.timeout(1500)]


@dataclass
class Doors:
    """A stack that is up, and what its webhook was told."""

    home: Path
    headrace: Command
    chain: Any
    webhook: str
    told: list[dict[str, Any]]
    services: list[dict[str, Any]] = field(default_factory=list)
    api: str = ""

    def run(self, *args: str) -> dict[str, Any]:
        """The answer of a verb that succeeds."""
        code, answer, err = self.headrace(self.home, *args)
        assert code == 0, err[-2000:]
        return answer

    def deploy(self, *sets: str) -> dict[str, Any]:
        own = [x for s in ("settle_seconds=0", f"notify.webhook={self.webhook}", *sets)
               for x in ("--set", s)]  # fmt: skip
        answer = self.run("deploy", *self.chain["sets"], *own)
        return {d["name"]: d["id"] for d in answer["deployments"]}

    def pid(self, name: str) -> int:
        found: int = next(s["pid"] for s in self.run("up")["services"] if s["name"] == name)
        return found

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Runs of a deployment that are due, the newest first."""
        wanted = {"deployments": {"id": {"any_": [deployment]}},
                  "sort": "EXPECTED_START_TIME_DESC"}  # fmt: skip
        found: list[dict[str, Any]] = request(self.api, "POST", "/flow_runs/filter", wanted)
        return [r for r in found if r["state"]["name"] != "Scheduled" or r["start_time"]]

    def start(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Run a deployment to its end, with other parameters than its own."""
        own = request(self.api, "GET", f"/deployments/{deployment}", None)["parameters"]
        made = request(self.api, "POST", f"/deployments/{deployment}/create_flow_run",
                       {"parameters": {**own, **parameters}})  # fmt: skip
        return self.end_of(made["id"])

    def end_of(self, run: str, seconds: float = 900) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found: dict[str, Any] = request(self.api, "GET", f"/flow_runs/{run}", None)
            if found["state"]["type"] in ENDED:
                return found
            time.sleep(1)
        raise AssertionError(f"the run {found['name']} is still {found['state']['name']}")

    def new_run(self, deployment: str, old: set[str], seconds: float = 120) -> dict[str, Any]:
        """The next run of a deployment, once its body has begun."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for found in self.runs(deployment):
                if found["id"] not in old and found["start_time"]:
                    return found
            time.sleep(0.5)
        raise AssertionError("no run began")

    def champion(self) -> str:
        return str(self.run("status")["champion"]["version"])


@pytest.fixture(scope="module")
def doors(
    chain: Any, headrace: Command, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doors]:
    home = tmp_path_factory.mktemp("doors") / "home"
    shutil.copytree(chain["home"], home)
    told: list[dict[str, Any]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    made = Doors(home, headrace, chain, f"http://127.0.0.1:{hook.server_port}/", told)
    try:
        made.services = made.run("up")["services"]
        made.api = made.run("doctor")["prefect_api"]
        yield made
    finally:
        headrace(home, "down")
        hook.shutdown()


def damaged(text: Path, to: Path) -> Path:
    dice, lines = random.Random(1), []
    for line in text.read_text().splitlines():
        letters = list(json.loads(line)["text"])
        dice.shuffle(letters)
        lines.append(json.dumps({"text": "".join(letters)}))
    to.write_text("\n".join(lines))
    return to


def test_up_brings_every_service_and_again_changes_nothing(doors: Doors) -> None:
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


def test_deploying_twice_changes_nothing(doors: Doors) -> None:
    def registered() -> Any:
        found = request(doors.api, "POST", "/deployments/filter", {})
        autos = request(doors.api, "POST", "/automations/filter", {})
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


def test_a_shifted_window_becomes_the_champion_unattended(doors: Doors) -> None:
    names, before = doors.deploy(), doors.champion()
    old = {r["id"] for r in doors.runs(names["retrain/on-drift"])}
    shutil.copy(doors.chain["other"], doors.home / "inbox" / "people.jsonl")
    watched = doors.start(names["monitor/hourly"])
    assert watched["state"]["name"] == "Drift", watched["state"]
    begun = doors.new_run(names["retrain/on-drift"], old)
    done = doors.end_of(begun["id"])
    assert done["state"]["name"] == "Promoted", done["state"]
    after = doors.champion()
    assert after != before and done["name"].endswith(f"version-{after}")
    assert len({r["id"] for r in doors.runs(names["retrain/on-drift"])} - old) == 1
    shown = request(doors.api, "POST", "/artifacts/filter",
                    {"artifacts": {"flow_run_id": {"any_": [begun["id"]]}}})  # fmt: skip
    assert {"progress", "ledger", "decision", "links"} <= {a["key"] for a in shown}
    logs = request(doors.api, "POST", "/logs/filter",
                   {"logs": {"flow_run_id": {"any_": [begun["id"]]}}, "limit": 200})  # fmt: skip
    said = "\n".join(line["message"] for line in logs)
    assert "scan:" in said and "learning the window:" in said
    again = doors.start(names["monitor/hourly"])
    assert again["state"]["name"] == "Cached"


def test_the_same_alert_again_is_a_no_op_that_says_so(doors: Doors) -> None:
    names, before = doors.deploy(), doors.champion()
    old = {r["id"] for r in doors.runs(names["retrain/on-drift"])}
    doors.run("alert", "--window", str(doors.chain["other"]))
    done = doors.end_of(doors.new_run(names["retrain/on-drift"], old)["id"])
    assert done["state"]["name"] == "Cached" and "already" in done["state"]["message"]
    assert doors.champion() == before


def test_a_damaged_window_moves_nothing_and_the_owner_is_told(doors: Doors, tmp_path: Path) -> None:
    names, before = doors.deploy(), doors.champion()
    old = {r["id"] for r in doors.runs(names["retrain/on-drift"])}
    window = damaged(doors.chain["window"], tmp_path / "bad.jsonl")
    event = {
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "headrace.drift.detected",
        "resource": {"prefect.resource.id": "headrace.model.headrace"},
        "payload": {"window": str(window), "p_value": 0.001},
    }
    request(doors.api, "POST", "/events", [event])  # as another monitor would
    done = doors.end_of(doors.new_run(names["retrain/on-drift"], old)["id"])
    assert done["state"]["type"] == "COMPLETED" and done["state"]["name"] == "Refused"
    assert doors.champion() == before
    notice = doors.told[-1]
    assert notice["flow"] == "retrain" and notice["state"] == "Refused"
    assert "the window keeps" in notice["reason"] and "run" in notice["links"]


def test_a_failed_run_tells_the_command_that_resumes(doors: Doors, tmp_path: Path) -> None:
    names = doors.deploy()
    missing = str(tmp_path / "none.jsonl")
    done = doors.start(names["curate/daily"], input=[missing])
    assert done["state"]["type"] == "FAILED"
    notice = doors.told[-1]
    assert notice["state"] == "Failed" and missing in notice["reason"]
    assert f"headrace curate --input {missing}" in notice["command"]
    assert notice["links"]["run"].endswith(done["id"])


def test_status_knows_where_everything_stands(doors: Doors) -> None:
    said = doors.run("status")
    assert said["champion"]["version"] and said["champion"]["since"]
    assert said["window"]["drift"] is True and said["decision"]["action"] == "promote"
    assert {n["flow"] for n in said["next"]} & {"curate", "monitor", "retrain"}


def test_a_server_that_is_killed_comes_back(doors: Doors) -> None:
    before = doors.pid("mlflow")
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        now = next(s for s in doors.run("up")["services"] if s["name"] == "mlflow")
        if now["pid"] != before:
            break
    assert now["pid"] != before and doors.champion()


def test_down_leaves_nothing_and_its_alerts_are_caught_up(doors: Doors) -> None:
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
    assert not doors.run("alert", "--window", str(doors.chain["other"]))["sent"]
    assert doors.run("down")["stopped"] == []
