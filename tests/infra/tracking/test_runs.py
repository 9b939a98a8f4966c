import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.infra.json_types import Json
from headrace.infra.registry.versions import Registry
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Point, Tracking, found_or_none


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


def test_an_interrupted_run_continues_and_is_one_run(store: Tracking) -> None:
    killed = store.start_run("stage", {"headrace.key": "twin"}, began=1_000)
    other = store.start_run("stage", {"headrace.key": "another"})
    store.finish(killed, "KILLED")
    assert store.start_run("stage", {"headrace.key": "twin"}) == killed != other
    info = store.client.get_run(killed).info
    assert (info.status, info.start_time) == ("RUNNING", 1_000)
    assert store.find_run("twin") is None
    store.finish(killed, ended=9_000)
    assert store.find_run("twin") == killed
    assert store.client.get_run(killed).info.end_time == 9_000


def test_a_continued_run_keeps_its_parameters_and_shows_what_changed(store: Tracking) -> None:
    run = store.start_run("stage", {"headrace.key": "settings"})
    store.log_params(run, {"steps": 6, "checkpoint": {"keep": 1}})
    assert store.start_run("stage", {"headrace.key": "settings"}) == run

    def shown(**given: Json) -> tuple[dict[str, str], dict[str, str]]:
        store.log_params(run, given)
        data = store.client.get_run(run).data
        return data.params, {k: v for k, v in data.tags.items() if k.startswith("param.")}

    first = {"steps": "6", "checkpoint.keep": "1"}
    assert shown(steps=6, checkpoint={"keep": 1}) == (first, {})
    now = {**first, "processes": "2"}
    changed = {"param.checkpoint.keep": "3"}
    assert shown(steps=6, checkpoint={"keep": 3}, processes=2) == (now, changed)
    assert shown(steps=6, checkpoint={"keep": 1}) == (now, {"param.checkpoint.keep": "1"})
    many = {f"p{i}": i for i in range(250)}
    assert len(shown(**many)[0]) == 253, "more than MLflow takes at once"


def test_a_run_whose_process_is_gone_ends_as_killed_at_its_last_figure(store: Tracking) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from headrace.infra.state.state_dir import Home\n"
        "from headrace.infra.tracking.runs import Point, Tracking\n"
        "store = Tracking(Home(Path(sys.argv[1])))\n"
        "run = store.start_run('lost', {})\n"
        "store.log_points(run, [Point('loss', 1.0, 4_000, 1), Point('loss', 0.5, 5_000, 2)])\n"
        "print(run)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.home.root)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lost, own = done.stdout.split()[-1], store.start_run("own", {})
    elsewhere = store.start_run("elsewhere", {})
    store.tag(elsewhere, {"headrace.process": "another-host 1 1"})
    assert store.close_lost() == [lost]
    info = store.client.get_run(lost).info
    assert (info.status, info.end_time) == ("KILLED", 5_000)
    for run in (own, elsewhere):
        assert store.client.get_run(run).info.status == "RUNNING"
        store.finish(run)


def test_a_point_that_is_logged_again_stays_one(store: Tracking) -> None:
    run = store.start_run("stage", {})
    points = [Point("loss", 3.0 - i, 1_000 + i, i) for i in range(3)]
    diverged = [Point("nan", v, 1_000, 0) for v in (float("nan"), float("inf"))]
    for _ in range(2):
        store.log_points(run, [*points, *diverged])
    assert len(store.client.get_metric_history(run, "nan")) == 2
    history = store.client.get_metric_history(run, "loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (0, 3.0, 1000), (1, 2.0, 1001), (2, 1.0, 1002),
    ]  # fmt: skip
    assert store.last_steps(run) == {"loss": 2, "nan": 0}
    before = time.time_ns() // 1_000_000
    figures: dict[str, Json] = {
        "gain": 1.0, "loss": 9.0, "bad": float("nan"), "note": "text", "a": {"b=c": 2},
    }  # fmt: skip
    store.log_values(run, figures)
    found = store.client.get_run(run).data.metrics
    assert (
        math.isnan(found.pop("bad"))
        and found.pop("nan")
        and found == {"loss": 1.0, "gain": 1.0, "a.b_c": 2.0}
    )
    (figure,) = store.client.get_metric_history(run, "gain")
    assert before <= figure.timestamp <= time.time_ns() // 1_000_000


def test_artifacts_lie_in_the_state_folder_wherever_that_is(
    store: Tracking, tmp_path: Path
) -> None:
    run = store.start_run("stage", {})
    store.log_text(run, "<svg/>", "plots/loss.svg")
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.json").write_text("{}")
    store.log_file(run, tmp_path / "page.html")
    store.log_file(run, tmp_path / "folder", "more")
    uri = store.client.get_run(run).info.artifact_uri
    assert uri == f"mlflow-artifacts:/{run}/artifacts"
    # MLflow's own client finds them without a server, here and in a copy.
    copy = Home(tmp_path / "copy")
    shutil.copytree(store.home.root, copy.root)
    for client in (store.client, Tracking(copy).client):
        assert {f.path for f in client.list_artifacts(run)} == {"plots", "page.html", "more"}
        assert [f.path for f in client.list_artifacts(run, "more")] == ["more/a.json"]
    Tracking(copy).log_text(run, "new", "only-here.txt")
    assert "only-here.txt" not in {f.path for f in store.client.list_artifacts(run)}


def test_a_moved_state_folder_keeps_its_experiment(tmp_path: Path) -> None:
    first = Tracking(Home(tmp_path / "here"))
    place = first.experiment()
    run = first.start_run("stage", {"headrace.key": "k"})
    first.finish(run)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Tracking(Home(tmp_path / "there"))
    assert moved.experiment() == place and moved.find_run("k") == run
    assert [e.name for e in moved.client.search_experiments()] == ["headrace", "Default"]


def test_an_experiment_that_was_deleted_comes_back(tmp_path: Path) -> None:
    store = Tracking(Home(tmp_path / "home"))
    place = store.experiment()
    store.client.delete_experiment(place)
    assert store.experiment() == place
    assert store.client.get_experiment(place).lifecycle_stage == "active"


def test_a_database_has_no_pages_and_a_server_has(store: Tracking) -> None:
    run = store.start_run("stage", {})
    assert store.run_url(run) is None and store.model_url("m", "1") is None
    place = store.client.get_run(run).info.experiment_id
    served = Tracking(store.home)
    served.uri = "http://127.0.0.1:5000/"
    assert served.run_url(run) == (
        f"http://127.0.0.1:5000/#/experiments/{place}/runs/{run}?workflowType=machine_learning"
    )
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
