"""`headrace deploy` on a real Prefect server: what is kept, what changes, what stays."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from headrace.flows import deployments as deployments_
from headrace.flows import runaway
from headrace.flows.deployments import Edit, deploy
from headrace.flows.prefect_file import SHIPPED
from headrace.flows.summaries.stack import deployments_screen
from headrace.infra.artifacts import Release, Totals
from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.settings import NotifySettings
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.net.servers import Server
from headrace.infra.stack import prefect_api
from headrace.infra.stack.prefect_api import every, request
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.kept_settings import Change
from headrace.tasks.operations import status as status_module
from headrace.tasks.operations.following import start_once
from headrace.tasks.reporting import webhooks

pytestmark = [pytest.mark.server, pytest.mark.timeout(900), pytest.mark.usefixtures("on_server")]
TOKEN = "http://127.0.0.1:9/t0ken"


def sets(**given: Any) -> list[Config]:
    return [Config("--set", given)]


def deployments(api: str) -> dict[str, Any]:
    """All that decides what the deployments do, by FLOW/NAME."""
    flows = {f["id"]: f["name"] for f in request(api, "POST", "/flows/filter", {})}
    keys = ("parameters", "entrypoint", "tags", "paused", "pull_steps", "concurrency_options",
            "enforce_parameter_schema", "work_pool_name", "job_variables", "description",
            "parameter_openapi_schema")  # fmt: skip
    out = {}
    for d in request(api, "POST", "/deployments/filter", {}):
        limit = (d.get("global_concurrency_limit") or {}).get("limit")
        schedules = [(s["schedule"], s["active"], s["slug"]) for s in d["schedules"]]
        out[f"{flows[d['flow_id']]}/{d['name']}"] = {
            "schedules": schedules, "limit": limit, **{k: d[k] for k in keys}
        }  # fmt: skip
    return out


def automations(api: str, own: bool = True) -> list[Any]:
    found = request(api, "POST", "/automations/filter", {"limit": 200})
    for a in found:
        for key in ("id", "created", "updated"):
            a.pop(key, None)
        a["trigger"].pop("id", None)
        for action in a["actions"]:
            action.pop("id", None)
    return sorted((a for a in found if "starts" in a["name"]), key=lambda a: str(a["name"]))


def test_deploy_keeps_what_it_was_told(on_server: str, tmp_path: Path) -> None:
    text = tmp_path / "a.jsonl"
    text.write_text('{"text": "x"}\n')
    first = deploy(sets(input=[str(text)], notify={"webhook": TOKEN}, settle_seconds=5))
    assert {c.setting for c in first.changed} == {"input", "notify.webhook", "settle_seconds"}
    second = deploy(sets(retrain={"cooldown_minutes": 30}))
    assert second.changed == [Change("retrain.cooldown_minutes", before=360.0, after=30.0)]
    there = deployments(on_server)
    assert there["curate/daily"]["parameters"]["input"] == [str(text)]
    assert there["monitor/hourly"]["parameters"]["settings"]["inbox"]["settle_seconds"] == 5
    assert there["retrain/on-drift"]["parameters"]["settings"]["cooldown_minutes"] == 30
    assert kept_settings.notify().webhook == TOKEN
    answers = json.dumps([first.as_json(), second.as_json(), there])
    assert "t0ken" not in answers + deployments_screen(first)
    assert kept_settings.path().stat().st_mode & 0o077 == 0
    before = [d["updated"] for d in request(on_server, "POST", "/deployments/filter", {})]
    third = deploy([])
    assert third.changed == [] and third.edited == [] and deployments(on_server) == there
    after = [d["updated"] for d in request(on_server, "POST", "/deployments/filter", {})]
    assert after == before, "what is there is not written again"


def test_only_reset_forgets(on_server: str) -> None:
    deploy(sets(notify={"webhook": TOKEN}, settle_seconds=5))
    deploy(sets(seed=3))
    assert kept_settings.notify().webhook == TOKEN
    forgotten = deploy(sets(seed=3), reset=True)
    assert {c.setting for c in forgotten.changed} == {"notify.webhook", "settle_seconds"}
    assert kept_settings.notify() == NotifySettings()
    settings = deployments(on_server)["monitor/hourly"]["parameters"]["settings"]
    assert settings["inbox"]["settle_seconds"] == 30 and settings["seed"] == 3


def test_what_was_kept_before_there_was_one_file_stays() -> None:
    (home().root / "notify.json").parent.mkdir(parents=True, exist_ok=True)
    (home().root / "notify.json").write_text(json.dumps({"webhook": TOKEN}))
    deploy(sets(seed=1))
    assert kept_settings.notify().webhook == TOKEN
    assert not (home().root / "notify.json").exists()


def test_a_refused_call_changes_nothing(on_server: str, tmp_path: Path) -> None:
    deploy(sets(seed=1))
    before, kept = deployments(on_server), kept_settings.path().read_bytes()
    other = tmp_path / "own.yaml"
    entry = {"name": "x", "entrypoint": "headrace.flows.monitor.monitor",
             "work_pool": {"name": "none-such"}}  # fmt: skip
    other.write_text(yaml.safe_dump({"deployments": [entry]}))
    wrong: list[tuple[dict[str, Any], type[HeadraceError]]] = [
        ({"input": [str(tmp_path / "none")]}, InputError),
        ({"inbox": str(tmp_path / "none")}, InputError),
        ({"gate": {"policy": "gone.yaml"}}, UsageError),
        ({"file": str(tmp_path / "gone.yaml")}, UsageError),
        ({"after_release": "lifecycle/on-demnd"}, UsageError),
        ({"after_release": "monitor/hourly"}, UsageError),
        ({"notify": {"blocks": ["slack-webhook/none"]}}, UsageError),
        ({"sede": 3}, UsageError),
        ({"file": str(other)}, UsageError),
    ]
    for given, kind in wrong:
        with pytest.raises(kind) as error:
            deploy(sets(**given))
        assert error.value.hint, given
    assert deployments(on_server) == before and kept_settings.path().read_bytes() == kept


def test_a_server_that_refuses_is_no_unexpected_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(deployments_, "register", fail)
    with pytest.raises(HeadraceError, match="does not answer: ConnectError") as error:
        deploy([])
    assert "headrace deploy" in error.value.hint


def test_a_damaged_file_is_refused_and_reset_starts_anew() -> None:
    deploy(sets(seed=1))
    kept_settings.path().write_text('{"settings": {"sede": 1}}')
    with pytest.raises(UsageError, match=r"unknown setting sede") as error:
        deploy([])
    assert "--reset" in error.value.hint
    deploy([], reset=True)


def test_an_edit_in_the_pages_is_reported_and_a_pause_stays(on_server: str) -> None:
    deploy([])
    (daily,) = [d for d in request(on_server, "POST", "/deployments/filter", {})
                if d["name"] == "daily"]  # fmt: skip
    # Another version of headrace may have had other defaults: they are no edits.
    kept_settings.leave({**kept_settings.left(), "curate/daily": daily["parameters"]})
    edited = {**daily["parameters"], "output": "/elsewhere"}
    request(on_server, "PATCH", f"/deployments/{daily['id']}", {"parameters": edited})
    (schedule,) = daily["schedules"]
    request(on_server, "PATCH", f"/deployments/{daily['id']}/schedules/{schedule['id']}",
            {"active": False})  # fmt: skip
    answer = deploy([])
    assert answer.edited == [Edit("curate/daily", "output", before="/elsewhere", after=None)]
    (left,) = [d for d in answer.deployments if d.name == "curate/daily"]
    assert left.paused == ["the schedule at 0 2 * * * UTC"]
    assert "set back" in deployments_screen(answer)
    (again,) = [d for d in request(on_server, "POST", "/deployments/filter", {})
                if d["name"] == "daily"]  # fmt: skip
    assert not again["schedules"][0]["active"]
    request(on_server, "PATCH", f"/deployments/{daily['id']}/schedules/"
            f"{again['schedules'][0]['id']}", {"active": True})  # fmt: skip


def test_prefect_deploy_comes_to_the_same(on_server: str, tmp_path: Path) -> None:
    deploy(sets(settle_seconds=7, retrain={"cooldown_minutes": 3}))
    ours = deployments(on_server), automations(on_server)
    assert len(ours[1]) == 1
    (trigger,) = [a["trigger"] for a in ours[1]]
    assert trigger["expect"] == ["headrace.drift.detected"]
    file = tmp_path / "prefect.yaml"
    file.write_text(SHIPPED.read_text())
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all",
               "--prefect-file", str(file)]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "HEADRACE_HOME": str(home().root)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = deployments(on_server), automations(on_server)
    for name, deployment in ours[0].items():
        assert theirs[0][name] == deployment, name
    assert theirs == ours


def test_a_runaway_automation_is_paused_and_all_its_waiting_runs_are_cancelled(
    on_server: str, monkeypatch: pytest.MonkeyPatch, json_server: Any
) -> None:
    ids = {d.name: d.id for d in deploy([]).deployments}
    daily = ids["curate/daily"]

    def automation(event: str) -> str:
        action = {"type": "run-deployment", "source": "selected", "deployment_id": daily}
        trigger = {"type": "event", "expect": [event], "posture": "Reactive", "threshold": 1,
                   "within": 0}  # fmt: skip
        body = {"name": f"on {event}", "trigger": trigger, "actions": [action]}
        return str(request(on_server, "POST", "/automations/", body)["id"])

    def start(event: str, automation: str, n: int) -> None:
        """Start runs two days ago, as the server's own automations do: with their header."""
        name = base64.b64encode(f"on {event}".encode()).decode()
        headers = {"content-type": "application/json", "Prefect-Automation-ID": automation,
                   "Prefect-Automation-Name": name}  # fmt: skip
        for number in range(n):
            at = (datetime.now(UTC) - timedelta(days=2, seconds=number)).isoformat()
            body = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}}
            url = f"{on_server}/deployments/{daily}/create_flow_run"
            call = urllib.request.Request(url, json.dumps(body).encode(), headers)
            for _ in range(20):  # its SQLite may be locked
                try:
                    urllib.request.urlopen(call, timeout=120).close()
                    break
                except urllib.error.HTTPError as error:
                    if error.code != 503:
                        raise
                    time.sleep(1)

    def runs(event: str) -> list[Any]:
        wanted: dict[str, Any] = {"deployments": {"id": {"any_": [daily]}}, "sort": "ID_DESC"}
        found = every(on_server, "/flow_runs/filter", wanted)
        return [r for r in found if f"on {event}" in json.dumps(r["created_by"])]

    # A training has had the pool for two days when a worker looks.
    busy, calm = automation("t.busy"), automation("t.calm")
    start("t.busy", busy, runaway.MOST_RUNS + 1)
    start("t.calm", calm, 2)
    # A page of 20 rows: what stands on the second counts too.
    monkeypatch.setattr(prefect_api, "PAGE", 20)
    with json_server(lambda *_: (200, {})) as (url, got):
        deploy(sets(notify={"webhook": url}))
        assert runaway.pause_runaways("training") == [], "it is another pool's"
        assert runaway.pause_runaways("spark") == ["on t.busy"]
        assert [(n["flow"], n["state"]) for _, n in got] == [("curate", "Paused")]
        assert not request(on_server, "GET", f"/automations/{busy}", None)["enabled"]
        assert request(on_server, "GET", f"/automations/{calm}", None)["enabled"]
        assert {r["state"]["name"] for r in runs("t.busy")} == {"Runaway"}
        assert {r["state"]["type"] for r in runs("t.calm")} == {"SCHEDULED"}
        assert runaway.pause_runaways("spark") == [] and len(got) == 1
    for one in (busy, calm):
        request(on_server, "DELETE", f"/automations/{one}", None)


def test_on_a_busy_server_the_status_shows_what_is_headraces(
    on_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy([])
    (daily,) = [d for d in request(on_server, "POST", "/deployments/filter", {})
                if d["name"] == "daily"]  # fmt: skip
    monkeypatch.setattr(prefect_api, "PAGE", 3)
    others = request(on_server, "POST", "/flows/", {"name": "others"})["id"]
    for n in range(8):
        request(on_server, "POST", "/work_pools/", {"name": f"a{n}", "type": "process"},
                allow=(409,))  # fmt: skip
        for state in ("RUNNING", "SCHEDULED"):
            body = {"flow_id": others, "state": {"type": state}, "name": f"a{n}"}
            request(on_server, "POST", "/flow_runs/", body)
    path = f"/deployments/{daily['id']}/create_flow_run"
    mine = [request(on_server, "POST", path, {"state": {"type": "PENDING"}}) for _ in range(4)]
    request(on_server, "PATCH", "/work_pools/spark", {"is_paused": True})
    server = Server(on_server, "http://pages", {}, own=False)
    try:
        shown = status_module._answer(server, None)
        assert deploy([]).deployments, "pools beyond the first page are there"
    finally:
        request(on_server, "PATCH", "/work_pools/spark", {"is_paused": False})
    assert {r["name"] for r in mine} <= {r.name for r in shown.running}
    assert {r.flow for r in shown.running} == {"curate"}
    assert "others" not in {r.flow for r in shown.next}
    assert any("work pool spark" in p for p in shown.paused)


def test_deployments_of_another_state_folder_are_not_overwritten(
    on_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy([])
    before, whose = deployments(on_server), home().root
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "another"))
    with pytest.raises(UsageError, match=f"is that of the state folder .*{whose}"):
        deploy(sets(settle_seconds=9))
    assert deployments(on_server) == before and not kept_settings.path().exists()


def test_a_release_starts_what_follows_it_once(on_server: str) -> None:
    deploy([])
    totals = Totals(read=1, kept=1, rejected={}, unreadable=0)
    release = Release(id="abc", folder="/r/releases/abc", totals=totals, input_bytes=1)
    first, again = (start_once("lifecycle/on-demand", release) for _ in range(2))
    assert first == again
    run = request(on_server, "GET", f"/flow_runs/{first.id}", None)
    assert run["parameters"]["release"] == "/r/releases/abc"
    assert start_once("lifecycle/on-demand", release.model_copy(update={"id": "b"})) != first
    with pytest.raises(UsageError, match="no deployment a/b"):
        start_once("a/b", release)


def test_notices_go_through_prefects_blocks(json_server: Any) -> None:
    from prefect.blocks.notifications import MattermostWebhook
    from prefect.blocks.system import Secret

    with json_server(lambda *_: (200, {})) as (url, got):
        host = url.removeprefix("http://")
        name, _, port = host.partition(":")
        MattermostWebhook(
            hostname=name, port=int(port), token=SecretStr("t0ken" * 6), secure=False, path=None
        ).save("ops", overwrite=True)
        Secret(value=SecretStr("x")).save("mute", overwrite=True)
        deploy(sets(notify={"blocks": ["mattermost-webhook/ops"]}))
        assert webhooks.notify(NotifySettings(), "retrain", "Failed", "no space", "headrace x",
                              {"run": "http://p/1"})  # fmt: skip
    (posted,) = got
    assert "no space" in json.dumps(posted) and "next: headrace x" in json.dumps(posted)
    with pytest.raises(UsageError, match="can't notify"):
        deploy(sets(notify={"blocks": ["secret/mute"]}))


def test_file_of_ones_own_names_another_pool_and_interval(on_server: str, tmp_path: Path) -> None:
    request(on_server, "POST", "/work_pools/", {"name": "gpu", "type": "process"}, (409,))
    file = tmp_path / "own.yaml"
    entry = {"name": "often", "entrypoint": "headrace.flows.monitor.monitor",
             "work_pool": {"name": "gpu"}, "schedules": [{"interval": 600}]}  # fmt: skip
    file.write_text(yaml.safe_dump({"deployments": [entry]}))
    answer = deploy(sets(file=str(file)))
    assert [d.name for d in answer.deployments] == ["monitor/often"]
    assert deployments(on_server)["monitor/often"]["work_pool_name"] == "gpu"
