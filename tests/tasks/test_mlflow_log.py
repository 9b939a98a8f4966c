import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.infra import storage
from headrace.infra.errors import DeadlineError, UsageError
from headrace.infra.json_types import Json
from headrace.infra.tracking.runs import Tracking
from headrace.tasks.mlflow_log import (
    chain_run,
    close_chain,
    open_chain,
    record_stage,
    stage_run,
    tracking,
)


def stage(folder: Path, parent: str | None = None) -> str:
    answer: dict[str, Json] = {"loss": 1.5, "metrics": {"gain": 0.1}, "job": {"seed": 1}}
    return record_stage("pretrain", folder, answer, {"steps": 2}, {"release_id": "ab" * 16}, parent)


def test_a_stage_shows_all_that_it_did_once(state: Path) -> None:
    release = state / "releases" / ("ab" * 16)
    release.mkdir(parents=True)
    manifest = {"release_id": "ab" * 16, "totals": {"read": 1, "kept": 1}}
    (release / "manifest.json").write_text(json.dumps(manifest))
    folder = state / "runs" / "pretrain-1"
    folder.mkdir(parents=True)
    parent = open_chain("chain", "identity", {"release_id": "ab" * 16, "folder": "runs/chain-1"})
    assert open_chain("chain", "identity", {}) == parent != open_chain("chain", "another", {})
    run = stage(folder, parent)
    assert stage(folder, parent) == run != stage(folder)
    client = tracking().client
    found = client.get_run(run)
    assert found.data.tags["folder"] == "runs/pretrain-1"
    assert found.data.tags["mlflow.parentRunId"] == parent
    assert found.data.metrics["metrics.gain"] == 0.1 and found.data.params == {"steps": "2"}
    assert [d.dataset.digest for d in found.inputs.dataset_inputs] == ["ab" * 16]
    assert [d.dataset.digest for d in client.get_run(parent).inputs.dataset_inputs] == ["ab" * 16]


def test_a_chain_lasts_until_it_is_closed(state: Path) -> None:
    run = open_chain("retrain", "identity", {"parent_version": "1"})
    assert tracking().client.get_run(run).info.status == "RUNNING"
    close_chain(run, "reject", "1", version="2", round_decision=None)
    found = tracking().client.get_run(run)
    tags = {k: v for k, v in found.data.tags.items() if not k.startswith(("mlflow.", "headrace."))}
    assert tags == {"parent_version": "1", "decision": "reject", "champion": "1", "version": "2"}
    assert found.info.status == "FINISHED"
    assert found.info.end_time >= found.info.start_time
    assert open_chain("retrain", "identity", {}) == run


def test_a_run_that_is_opened_late_lasts_as_long_as_its_work(state: Path) -> None:
    """A gate's run is opened when all is scored, a chain's when its text is curated."""
    gate = record_stage("gate", state / "runs" / "ppo-1", {"gain": 1.0}, {}, {}, began=10_000)
    chain = open_chain("chain", "identity", {}, began=20_000)
    close_chain(chain, "promote", "1")
    assert (info(gate).start_time, info(chain).start_time) == (10_000, 20_000)


def test_figures_of_slices_have_names_that_mlflow_takes(state: Path) -> None:
    figures = {"bits": {"domain=law/tax?": {"value": 1.0}, "lang=中文": {"value": 2.0}}}
    run = record_stage("evaluate", state / "runs" / "evaluate-1", figures, {}, {})
    metrics = tracking().client.get_run(run).data.metrics
    assert metrics == {"bits.domain_law_tax_.value": 1.0, "bits.lang_中文.value": 2.0}


def trained(folder: Path, steps: range) -> None:
    """What a stage appends to its curves."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("a") as f:
        for i in steps:
            f.write(json.dumps({"step": i, "loss": 3.0 - i / 10, "expert_load": 1.1}) + "\n")


def fail(folder: Path, why: str = "the disk is full", steps: int = 3) -> None:
    """What a stage does that trains some steps and fails."""
    if steps:
        trained(folder, range(1, steps + 1))
    raise UsageError(why, "fix it")


def info(run: str) -> Any:
    return tracking().client.get_run(run).info


def only_run(stage: str) -> str:
    store = tracking()
    (run,) = store.client.search_runs([store.experiment()], f"tags.stage = '{stage}'")
    return str(run.info.run_id)


def test_a_stage_is_seen_while_it_works_and_continues_after_a_fault(state: Path) -> None:
    folder = state / "runs" / "pretrain-1"
    before = time.time_ns() // 1_000_000
    settings, tags = {"steps": 6}, {"release_id": "ab" * 16}

    def work() -> None:
        trained(folder, range(1, 4))
        end = time.monotonic() + 60
        while not (found := tracking().client.search_runs([tracking().experiment()])) or (
            "loss" not in found[0].data.metrics
        ):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert found[0].info.status == "RUNNING"
        assert found[0].data.tags["mlflow.source.type"] == "LOCAL"
        raise UsageError("the disk is full", "make room")

    with (
        pytest.raises(UsageError),
        stage_run("pretrain", folder, settings, tags, every=0.1),
    ):
        work()
    run = only_run("pretrain")
    assert info(run).status == "FAILED"
    assert tracking().client.get_run(run).data.tags["error"] == "the disk is full"

    with stage_run("pretrain", folder, settings, tags, every=0.1) as record:
        trained(folder, range(4, 7))
        assert record({"gain": 0.5, "job": {"seed": 1}}) == run
    done = info(run)
    assert done.status == "FINISHED" and before <= done.start_time < done.end_time
    client = tracking().client
    steps = [m.step for m in client.get_metric_history(run, "loss")]
    assert steps == list(range(1, 7))
    progress = [m.value for m in client.get_metric_history(run, "progress")]
    assert progress == [pytest.approx(n / 6) for n in range(1, 7)]
    data = client.get_run(run).data
    assert data.metrics["gain"] == 0.5 and "job.seed" not in data.metrics
    assert data.params == {"steps": "6"}
    plots = {f.path for f in client.list_artifacts(run, "plots")}
    assert plots == {"plots/loss.svg", "plots/expert-load.svg"}

    with stage_run("pretrain", folder, settings, tags) as record:
        assert record({"gain": 0.5}) == run, "once recorded it is left alone"
    assert info(run).end_time == done.end_time and only_run("pretrain") == run


def test_a_stage_that_resumes_with_another_setting_is_recorded(state: Path) -> None:
    folder = state / "runs" / "pretrain-1"
    with (
        pytest.raises(UsageError),
        stage_run("pretrain", folder, {"steps": 6, "processes": 1}, {}, every=0.1),
    ):
        fail(folder)
    with stage_run("pretrain", folder, {"steps": 6, "processes": 2}, {}) as record:
        trained(folder, range(4, 7))
        run = record({"gain": 0.5})
    assert info(run).status == "FINISHED" and only_run("pretrain") == run
    client = tracking().client
    assert [m.step for m in client.get_metric_history(run, "loss")] == list(range(1, 7))
    data = client.get_run(run).data
    assert data.params == {"steps": "6", "processes": "1"}
    assert data.tags["param.processes"] == "2"
    assert "error" not in data.tags, "it is no longer true of a run that finished"


@pytest.mark.parametrize("figures", [True, False])
def test_a_stage_that_fails_at_once_leaves_a_run_with_its_last_figures(
    state: Path, figures: bool
) -> None:
    folder = state / "runs" / "pretrain-1"
    with pytest.raises(UsageError), stage_run("pretrain", folder, {"steps": 6}, {}):
        fail(folder, "the data are damaged", steps=3 if figures else 0)
    run = only_run("pretrain")
    data = tracking().client.get_run(run).data
    assert info(run).status == "FAILED" and data.tags["error"] == "the data are damaged"
    assert (data.metrics.get("loss") == pytest.approx(2.7)) == figures


def test_the_end_of_a_failed_stage_waits_for_no_server(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state / "runs" / "pretrain-1"
    monkeypatch.setattr(Tracking, "answers", lambda _: False)
    with pytest.raises(UsageError), stage_run("pretrain", folder, {}, {}):
        raise UsageError("no", "fix")
    store = tracking()
    assert store.client.search_runs([store.experiment()]) == []


def test_a_second_command_on_a_stage_waits_and_leaves_its_run_alone(state: Path) -> None:
    """It has neither the run nor the curves before the first is done, and Ctrl-C there ends it."""
    folder = state / "runs" / "pretrain-1"
    code = (
        "import signal, sys; from pathlib import Path\n"
        "from headrace.tasks.mlflow_log import stage_run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('begins', flush=True)\n"
        "with stage_run('pretrain', Path(sys.argv[1]), {}, {}, every=0.1) as record:\n"
        "    print(record({'gain': 9.0}))\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    env = {**os.environ, "HEADRACE_HOME": str(state)}
    with stage_run("pretrain", folder, {}, {}, every=0.1) as record:
        others = [
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in "ab"
        ]
        for other in others:
            assert other.stdout is not None and other.stdout.readline() == "begins\n"
        trained(folder, range(1, 4))
        time.sleep(2)
        others[0].send_signal(signal.SIGINT)
        assert others[0].communicate(timeout=120)[0] == ""
        run = record({"gain": 0.5})
    assert others[1].communicate(timeout=120)[0].split()[-1] == run == only_run("pretrain")
    assert info(run).status == "FINISHED"
    client = tracking().client
    assert [m.step for m in client.get_metric_history(run, "loss")] == [1, 2, 3]
    assert client.get_run(run).data.metrics["gain"] == 0.5


def test_a_stage_that_was_done_before_keeps_its_duration(state: Path) -> None:
    """Found in another chain it gets a run there, which lasted as long as the work did."""
    folder = state / "runs" / "sft-1"
    trained(folder, range(1, 3))
    storage.write_json(folder / "span.json", {"began": 10_000, "ended": 70_000})
    with stage_run("sft", folder, {}, {}) as record:
        run = record({})
    assert (info(run).start_time, info(run).end_time) == (10_000, 70_000)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no", "fix"), "FAILED"),
        (ValueError("bad"), "FAILED"),
        (DeadlineError("time is over", "again"), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_a_chain_that_ends_with_an_error_says_so(
    state: Path, error: BaseException, status: str
) -> None:
    run = open_chain("chain", "identity", {})
    with pytest.raises(type(error)), chain_run(run):
        raise error
    assert info(run).status == status
    assert open_chain("chain", "identity", {}) == run and info(run).status == "RUNNING"
    close_chain(run, "promote", "1")
    with pytest.raises(type(error)), chain_run(run):
        raise error
    assert info(run).status == "FINISHED", "what it decided stands"
