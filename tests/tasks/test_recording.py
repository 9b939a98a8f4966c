import json
from pathlib import Path

from headrace.tasks.recording import close_chain, open_chain, record_stage, tracking


def stage(folder: Path, parent: str | None = None) -> str:
    answer = {"loss": 1.5, "metrics": {"gain": 0.1}, "job": {"seed": 1}}
    return record_stage("pretrain", folder, answer, {"steps": 2}, {"release_id": "ab" * 16}, parent)


def test_a_stage_shows_all_that_it_did_once(state: Path) -> None:
    release = state / "releases" / ("ab" * 16)
    release.mkdir(parents=True)
    manifest = {"release_id": "ab" * 16, "totals": {"read": 1, "kept": 1}}
    (release / "manifest.json").write_text(json.dumps(manifest))
    folder = state / "runs" / "pretrain-1"
    folder.mkdir(parents=True)
    lines = [{"step": i, "loss": 3.0 - i, "expert_load": 1.1} for i in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
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
    plots = {f.path for f in client.list_artifacts(run, "plots")}
    assert plots == {"plots/loss.svg", "plots/expert-load.svg"}


def test_a_chain_lasts_until_it_is_closed(state: Path) -> None:
    run = open_chain("retrain", "identity", {"parent_version": "1"})
    begun = tracking().client.get_run(run).info.end_time
    close_chain(run, "reject", "1", version="2", round_decision=None)
    found = tracking().client.get_run(run)
    tags = {k: v for k, v in found.data.tags.items() if not k.startswith(("mlflow.", "headrace."))}
    assert tags == {"parent_version": "1", "decision": "reject", "champion": "1", "version": "2"}
    assert found.info.status == "FINISHED" and found.info.end_time >= begun
    assert open_chain("retrain", "identity", {}) == run
