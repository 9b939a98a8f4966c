"""What is killed comes back and doubles nothing; on PostgreSQL where that is installed."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.infra.stack.worker import RUN_ID

Command = Callable[..., tuple[int, dict[str, Any], str]]
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def doors(
    chain: Any,
    open_doors: Callable[..., Any],
    postgres: Any,
    state_copy: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("faults") / "home"
    if postgres is None:
        state_copy(home)
        with open_doors(home) as made:
            yield made
        return
    time.sleep(3)
    config = tmp_path_factory.mktemp("settings") / "stack.yaml"
    config.write_text(f"database: {postgres.url}\n")
    with open_doors(home, "--config", str(config)) as made:
        # The chain runs against the stack: its models are registered in PostgreSQL.
        made.run(*chain["args"])
        yield made


def windows(chain: Any, folder: Path, count: int) -> list[Path]:
    """Disjoint windows of text that the chain has not seen."""
    seen = set(chain["other"].read_text().splitlines(keepends=True))
    lines = [x for x in chain["more"].read_text().splitlines(keepends=True) if x not in seen]
    made = []
    for i in range(count):
        path = folder / f"window-{i}.jsonl"
        path.write_text("".join(lines[i * 150 : (i + 1) * 150]))
        made.append(path)
    return made


@pytest.fixture(scope="module")
def texts(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return windows(chain, tmp_path_factory.mktemp("windows"), 10)


def test_postgresql_holds_everything(doors: Any, postgres: Any) -> None:
    if postgres is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    import psycopg2

    suffix = json.loads((doors.home / "stack" / "database.json").read_text())["suffix"]
    counts = {}
    for name, query in (
        ("prefect", "select count(*) from flow_run"),
        ("mlflow", "select count(*) from model_versions"),
    ):
        connection = psycopg2.connect(f"{postgres.url}/headrace_{name}_{suffix}")
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            counts[name] = cursor.fetchone()[0]
        connection.close()
    assert counts["prefect"] > 3 and counts["mlflow"] == 2
    assert not (doors.home / "mlflow.db").exists()
    for path in [*doors.home.glob("logs/**/*"), *doors.home.glob("stack/*.json")]:
        if path.is_file() and path.name != "database.json":
            assert "s3cret" not in path.read_text(errors="replace"), path


def test_the_cluster_gives_the_bytes_of_this_machine(doors: Any, tmp_path: Path) -> None:
    source = ["curate", "--input", doors.chain["args"][2]]

    def files(answer: dict[str, Any]) -> dict[str, str]:
        root = Path(answer["release"])
        return {
            str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(root.rglob("*.parquet"))
        }

    here = doors.run(*source, "--output", str(tmp_path / "here"))
    there = doors.run(*source, "--output", str(tmp_path / "there"), "--profile", "cluster")
    assert there["release_id"] == here["release_id"] and files(there) == files(here)
    applications = list((doors.home / "spark" / "events").iterdir())
    assert applications, "the history server has nothing to show"


def kill_trainer(doors: Any) -> bool:
    """Kill -9 the process that trains."""
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "headrace.training.incremental.ewc" in line and str(doors.home) in line:
            process.kill()
            return True
    return False


def processes(run: str) -> list[psutil.Process]:
    """The processes of a run, what it started among them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(RUN_ID) == run:
                found.append(process)
    assert found
    return found


def wait_for_training(doors: Any, run: str) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        logs = doors.logs(run)
        if any("learning the window" in x or "Fisher" in x or "answers" in x for x in logs):
            return
        time.sleep(1)
    raise AssertionError("it doesn't train")


def test_all_servers_killed_in_a_retraining_it_ends_right(doors: Any, texts: list[Path]) -> None:
    deployment = doors.deploy()["retrain/on-drift"]
    before, moves, old = doors.champion(), doors.moves(), doors.ids(deployment)
    # Asked before: a little training is over while a command starts.
    pids = [doors.pid(name) for name in ("worker-training", "mlflow", "prefect")]
    run = doors.alert(deployment, texts[0])
    wait_for_training(doors, run["id"])
    assert kill_trainer(doors)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        time.sleep(3)
    doors.settle()
    done = doors.end_of(run["id"])
    assert done["state"]["name"] == "Promoted", done["state"]
    after = doors.champion()
    assert int(after) == int(before) + 1, "one model version"
    assert doors.moves() == [*moves, after], "one alias move"
    assert doors.ids(deployment) - old == {run["id"]}
    states = {s["name"]: s["state"] for s in doors.run("up")["services"]}
    assert set(states.values()) == {"running"}


def test_worker_and_run_killed_at_once_it_goes_on(doors: Any, texts: list[Path]) -> None:
    deployment, before = doors.deploy()["retrain/on-drift"], doors.champion()
    old, worker = doors.ids(deployment), psutil.Process(doors.pid("worker-training"))
    run = doors.alert(deployment, texts[8])
    wait_for_training(doors, run["id"])
    for process in [worker, *processes(run["id"])]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has gone with another
            process.kill()
    done = doors.end_of(run["id"])
    assert done["state"]["name"] == "Promoted", done["state"]
    assert int(doors.champion()) == int(before) + 1
    assert doors.ids(deployment) - old == {run["id"]}


def test_alerts_while_one_runs_make_one_further_run(doors: Any, texts: list[Path]) -> None:
    deployment = doors.deploy()["retrain/on-drift"]
    old = doors.ids(deployment)
    first = doors.alert(deployment, texts[1])
    for text in texts[2:5]:
        doors.run("alert", "--window", str(text))
    doors.end_of(first["id"])
    end = time.monotonic() + 120
    while len(ids := doors.ids(deployment) - {*old, first["id"]}) < 3 and time.monotonic() < end:
        time.sleep(1)
    rest = [doors.end_of(run) for run in ids]
    # Which of the three begins first, and takes what the others bring, is the server's choice.
    assert sorted(r["state"]["name"] for r in rest) == ["Merged", "Merged", "Promoted"]
    (second,) = (r["id"] for r in rest if r["state"]["name"] == "Promoted")
    read = doors.ledger(second)["read"]
    assert read == sum(len(t.read_text().splitlines()) for t in texts[2:5])


def test_down_in_a_retraining_then_up_it_goes_on(doors: Any, texts: list[Path]) -> None:
    deployment, before = doors.deploy()["retrain/on-drift"], doors.champion()
    old = doors.ids(deployment)
    run = doors.alert(deployment, texts[5])
    wait_for_training(doors, run["id"])
    doors.run("down")
    # An alert that is raised now is caught up: the round that was begun ends first.
    assert not doors.run("alert", "--window", str(texts[6]))["sent"]
    doors.up()
    done = doors.end_of(run["id"])
    assert done["state"]["name"] == "Promoted", done["state"]
    end = time.monotonic() + 400
    later: list[Any] = []
    while not later and time.monotonic() < end:
        runs = [r for r in doors.runs(deployment) if r["id"] not in {*old, run["id"]}]
        later = [r for r in runs if r["parameters"]["alert"]["window"] == str(texts[6])
                 and r["state"]["name"] == "Promoted"]  # fmt: skip
        time.sleep(1)
    assert len(later) == 1 and int(doors.champion()) == int(before) + 2


def test_in_the_cool_down_an_alert_waits(doors: Any, texts: list[Path]) -> None:
    names, before = doors.deploy("retrain.cooldown_minutes=600"), doors.champion()
    done = doors.end_of(doors.alert(names["retrain/on-drift"], texts[7])["id"])
    assert done["state"]["name"] == "Later" and "cool-down" in done["state"]["message"]
    (waits,) = (doors.home / "outbox").glob("*.json")
    assert json.loads(waits.read_text())["payload"]["window"] == str(texts[7])
    waits.unlink()
    assert doors.champion() == before


def test_the_weekly_run_learns_what_the_inbox_has_got(doors: Any, texts: list[Path]) -> None:
    # Hardly a window differs as a whole, so no alert takes this one first.
    names, before = doors.deploy("monitor.minimum_effect=1"), doors.champion()
    shutil.copy(texts[9], doors.home / "inbox" / "week.jsonl")
    watched = doors.start(names["monitor/hourly"])
    assert watched["state"]["name"] == "NoDrift", watched["state"]
    done = doors.start(names["retrain/weekly"], force=True)
    assert done["state"]["name"] == "Promoted", done["state"]
    assert int(doors.champion()) == int(before) + 1
    again = doors.start(names["retrain/weekly"], force=True)
    assert again["state"]["name"] == "Cached", again["state"]


def test_a_person_decides_what_a_manual_gate_leaves(doors: Any, texts: list[Path]) -> None:
    names, before = doors.deploy("gate.promote=manual"), doors.champion()
    done = doors.end_of(doors.alert(names["retrain/on-drift"], texts[7])["id"])
    assert done["state"]["name"] == "Waiting", done["state"]
    assert doors.told["state"] == "Waiting" and "headrace decide" in doors.told["command"]
    (waiting,) = doors.run("status")["waiting"]
    assert doors.champion() == before
    doors.run("decide", "--version", waiting["version"], "--promote", "--by", "A. Lead",
              "--why", "reads well")  # fmt: skip
    assert doors.champion() == waiting["version"] and doors.run("status")["waiting"] == []
    doors.run("rollback", "--by", "A. Lead", "--why", "slower")
    assert doors.champion() == before
    doors.run("audit", "verify")


def test_pretraining_as_a_deployment_runs_in_two_processes(doors: Any) -> None:
    names = doors.deploy("pretrain.processes=2", "seed=7")
    done = doors.start(names["lifecycle/on-demand"], input=[doors.chain["args"][2]])
    assert done["state"]["type"] == "COMPLETED", done["state"]
    assert any("2 processes" in line for line in doors.logs(done["id"]))
