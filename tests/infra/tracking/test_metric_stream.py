"""Figures arrive while a stage trains; whatever is killed, each is logged once."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.net import credentials, servers
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking import metric_stream, step_count
from headrace.infra.tracking.metric_stream import MetricStream, _Curves
from headrace.infra.tracking.runs import Tracking


def lines(*steps: int, **more: Any) -> str:
    return "".join(json.dumps({"step": i, "loss": 9 - i / 1000, **more}) + "\n" for i in steps)


def wait_for(met: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return Tracking(Home(tmp_path_factory.mktemp("stream")))


def steps(store: Tracking, run: str, name: str = "loss") -> list[int]:
    return [m.step for m in store.client.get_metric_history(run, name)]


def test_figures_arrive_while_the_stage_trains(store: Tracking, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    run = store.start_run("stage", {})
    stream = MetricStream(store, lambda: (run, False), path, every=0.1)
    stream.start()
    path.write_text(lines(1, 2))
    wait_for(lambda: steps(store, run) == [1, 2])
    with path.open("a") as f:
        f.write('{"step": 3, "loss"')
        f.flush()
        time.sleep(0.5)
        assert steps(store, run) == [1, 2], "half a line is not read"
        f.write(': 1.5, "heldout=x": 2, "note": "text", "bad": NaN, "far": -Infinity}\n')
    wait_for(lambda: steps(store, run) == [1, 2, 3])
    assert stream.close() and stream.rest() == run
    found = store.client.get_run(run).data.metrics
    assert found["loss"] == 1.5 and found["heldout_x"] == 2.0
    assert math.isnan(found["bad"]) and found["far"] < -1e300, "divergence is seen"
    assert not {"note", "step"} & set(found)
    for name in ("cpu_utilization_percentage", "system_memory_usage_megabytes",
                 "disk_usage_percentage"):  # fmt: skip
        logged = steps(store, run, f"system/{name}")
        assert logged == list(range(len(logged))) and len(logged) > 1


def test_a_resumed_stage_continues_its_curves_without_a_step_twice(
    store: Tracking, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.jsonl"
    run = store.start_run("stage", {})
    path.write_text(lines(*range(1, 8)))
    first = MetricStream(store, lambda: (run, False), path)
    first.flush()
    again = MetricStream(store, lambda: (run, False), path)
    again.flush()
    # The trainer drops what lies beyond its checkpoint, and does those steps once more.
    (tmp_path / "new").write_text(lines(*range(1, 6)))
    os.replace(tmp_path / "new", path)
    again.flush()
    with path.open("a") as f:
        f.write(lines(*range(6, 11)))
    again.rest()
    assert steps(store, run) == list(range(1, 11))
    machine = steps(store, run, "system/cpu_utilization_percentage")
    assert machine == [0, 1, 2]


def test_a_recorded_stage_is_left_alone(store: Tracking, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1, 2))
    run = store.start_run("stage", {})
    stream = MetricStream(store, lambda: (run, True), path, every=0.1)
    stream.start()
    stream.join(60)
    assert stream.rest() == run and stream.recorded
    assert store.client.get_run(run).data.metrics == {}


def test_figures_that_a_server_did_not_take_follow_once(
    store: Tracking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    run = store.start_run("stage", {})
    down = [True, True, False]

    def begin() -> tuple[str, bool]:
        if down.pop(0):
            raise ConnectionError("refused\nand more")
        return run, False

    path.write_text(lines(1, 2))
    stream = MetricStream(store, begin, path, every=0.1)
    stream.start()
    wait_for(lambda: steps(store, run) == [1, 2])
    stream.close()
    said = [r.getMessage() for r in caplog.records if "accepts no figures" in r.getMessage()]
    assert said == ["MLflow accepts no figures now (refused); they are sent when it does"]


def test_what_is_measured_in_an_outage_keeps_its_time(store: Tracking, tmp_path: Path) -> None:
    """MLflow's client holds on for minutes: figures are taken all the same, at their times."""
    path, back = tmp_path / "metrics.jsonl", threading.Event()
    run = store.start_run("stage", {})

    def begin() -> tuple[str, bool]:
        back.wait(60)
        return run, False

    stream = MetricStream(store, begin, path, every=0.1)
    stream.start()
    for step in (1, 2):
        path.open("a").write(lines(step))
        time.sleep(0.5)
    returned = time.time_ns() // 1_000_000
    back.set()
    wait_for(lambda: steps(store, run) == [1, 2])
    assert stream.close()
    first, second = (m.timestamp for m in store.client.get_metric_history(run, "loss"))
    assert first < second < returned
    machine = store.client.get_metric_history(run, "system/cpu_utilization_percentage")
    assert sum(m.timestamp < returned for m in machine) > 1
    assert [m.step for m in machine] == list(range(len(machine)))


def test_progress_follows_what_the_stage_wrote_down(tmp_path: Path) -> None:
    path, curves = tmp_path / "metrics.jsonl", _Curves()
    step_count.write(tmp_path, 4)
    path.write_text(lines(1, 2))
    progress = [p.value for p in curves.read(path) if p.name == "progress"]
    assert progress == [0.25, 0.5]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(2, 12),
)
def test_the_points_that_are_taken_follow_from_the_file_alone(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], dense: int
) -> None:
    """Read at once or in any pieces, the same points are taken, and the last one is among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metric_stream, "DENSE", dense)
        path = tmp_path_factory.mktemp("curves") / "metrics.jsonl"
        total = sum(cuts)
        text = lines(*range(1, total + 1)).splitlines(keepends=True)
        in_pieces, taken, at = _Curves(), [], 0
        for cut in cuts:
            with path.open("a") as f:
                f.write("".join(text[at : at + cut]))
            at += cut
            taken += in_pieces.read(path)
        taken += in_pieces.last()
        whole = _Curves()
        at_once = [*whole.read(path), *whole.last()]
    assert [p.step for p in taken] == [p.step for p in at_once]
    assert taken[-1].step == total and taken[0].step == 1
    assert len(taken) <= dense * (2 + max(0, total // dense).bit_length())


def test_a_curve_keeps_what_is_measured_at_few_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(lines(i, **({"heldout": 1.0} if i % 150 == 0 else {})) for i in range(1, 6001))
    )
    curves = _Curves()
    taken = [*curves.read(path), *curves.last()]
    assert [p.step for p in taken if p.name == "heldout"] == list(range(150, 6001, 150))
    loss = [p.step for p in taken if p.name == "loss"]
    assert loss[:1000] == list(range(1, 1001)) and len(loss) < 2500 and loss[-1] == 6000


@pytest.mark.server
def test_an_outage_of_the_server_holds_up_no_stage_and_loses_no_figure(tmp_path: Path) -> None:
    port, home = free_port(), tmp_path / "home"
    env = {
        **os.environ,
        "HEADRACE_HOME": str(home),
        "HEADRACE_MLFLOW_STORE": f"sqlite:///{home / 'mlflow.db'}",
        "HEADRACE_MLFLOW_ARTIFACTS": (home / "mlartifacts").as_uri(),
    }
    home.mkdir(mode=0o700)
    url = f"http://127.0.0.1:{port}"
    login = servers.own_mlflow(url, credentials.make(Home(home)).mlflow_password).variables
    command = [sys.executable, "-m", "headrace.infra.stack.mlflow_server", str(port)]

    def start() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        wait_for(lambda: answers(f"{url}/health"), 120)
        return server

    path = tmp_path / "metrics.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        for name, value in login.items():
            patch.setenv(name, value)
        server = start()
        try:
            store = Tracking(Home(home), url)
            run = store.start_run("stage", {})
            path.write_text(lines(1, 2))
            stream = MetricStream(store, lambda: (run, False), path, every=0.2)
            stream.start()
            wait_for(lambda: steps(store, run) == [1, 2])
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            with path.open("a") as f:
                f.write(lines(3, 4))
            time.sleep(2)
            assert stream.is_alive()
            server = start()
            with path.open("a") as f:
                f.write(lines(5))
            wait_for(lambda: steps(store, run) == [1, 2, 3, 4, 5])
            stream.close()
            stream.rest()
            assert steps(store, run) == [1, 2, 3, 4, 5]
        finally:
            server.kill()
            server.wait()
