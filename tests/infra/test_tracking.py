import json
import time
from pathlib import Path

import pytest

from headrace.infra.home import Home
from headrace.infra.registry import Registry
from headrace.infra.tracking import Tracking, found_or_none


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return Tracking(Home(tmp_path_factory.mktemp("tracking")))


def test_a_release_is_a_runs_dataset(store: Tracking, tmp_path: Path) -> None:
    run = store.start_run("stage", {})
    store.log_release(run, str(tmp_path / "gone"))
    assert store.client.get_run(run).inputs.dataset_inputs == []
    totals = {"read": 5, "kept": 3, "rejected": {"format": 2}, "unreadable": 0}
    said = {"release_id": "ab" * 16, "parent": None, "totals": totals}
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    store.log_release(run, str(tmp_path))
    (given,) = store.client.get_run(run).inputs.dataset_inputs
    assert given.dataset.name == f"release {'ab' * 6}" and given.dataset.digest == "ab" * 16
    assert json.loads(given.dataset.source) == {"uri": str(tmp_path)}
    assert json.loads(given.dataset.profile) == {**totals, "parent": None}


def test_a_run_that_a_kill_left_running_is_closed_by_its_twin(store: Tracking) -> None:
    killed = store.start_run("stage", {"headrace.key": "twin"})
    other = store.start_run("stage", {"headrace.key": "another"})
    again = store.start_run("stage", {"headrace.key": "twin"})
    status = {run: store.client.get_run(run).info.status for run in (killed, other, again)}
    assert status == {killed: "KILLED", other: "RUNNING", again: "RUNNING"}
    store.finish(again)
    assert store.find_run("twin") == again


def test_figures_are_of_today(store: Tracking, tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    run = store.start_run("stage", {})
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    store.log_curve(run, tmp_path / "metrics.jsonl")
    store.log_values(run, {"gain": 1.0})
    for name in ("loss", "gain"):
        (figure,) = store.client.get_metric_history(run, name)
        assert before <= figure.timestamp <= time.time_ns() // 1_000_000


def test_a_database_has_no_pages_and_a_server_has(store: Tracking) -> None:
    run = store.start_run("stage", {})
    assert store.run_url(run) is None and store.model_url("m", "1") is None
    place = store.client.get_run(run).info.experiment_id
    served = Tracking(store.home)
    served.uri = "http://127.0.0.1:5000/"
    assert served.run_url(run) == f"http://127.0.0.1:5000/#/experiments/{place}/runs/{run}"
    assert served.model_url("a b", "2") == "http://127.0.0.1:5000/#/models/a%20b/versions/2"


def test_tags_around_versions_are_those_of_the_whole_chain(store: Tracking) -> None:
    parent = store.start_run("chain", {"folder": "runs/chain-1"})
    children = [store.start_run("s", {"folder": f"runs/s-{i}"}, parent) for i in range(3)]
    store.start_run("alone", {"folder": "runs/alone-1"})
    export = store.home.runs / "s-2" / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    Registry(store, "m").register(children[2], export, str(store.home.root / "releases/r"), {})
    folders = {t["folder"] for t in store.version_tags() if "folder" in t}
    assert folders == {"runs/chain-1", "runs/s-0", "runs/s-1", "runs/s-2"}
    assert {t["release"] for t in store.version_tags() if "release" in t} == {"releases/r"}


def test_trouble_is_not_taken_for_nothing(store: Tracking) -> None:
    from mlflow.exceptions import MlflowException

    assert found_or_none(lambda: store.client.get_run("0" * 32)) is None
    assert found_or_none(lambda: 1) == 1

    def down() -> None:
        raise MlflowException("connection refused")

    with pytest.raises(MlflowException):
        found_or_none(down)


def test_a_curve_keeps_what_is_measured_at_few_steps(tmp_path: Path) -> None:
    lines = [
        {"step": i, "loss": 9 - i / 1000, **({"heldout": 1 - i / 10_000} if i % 150 == 0 else {})}
        for i in range(1, 1201)
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Tracking(Home(tmp_path / "home"))
    run = store.start_run("r", {})
    store.log_curve(run, path)
    store.log_values(run, {"loss": 7.8, "tokens": 5})
    held = store.client.get_metric_history(run, "heldout")
    assert [m.step for m in held] == list(range(150, 1201, 150))
    loss = store.client.get_metric_history(run, "loss")
    assert 500 < len(loss) <= 1001 and loss[-1].step == 1200 and loss[0].step == 1
    assert store.client.get_run(run).data.metrics["tokens"] == 5
