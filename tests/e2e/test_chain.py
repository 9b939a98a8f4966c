"""The whole chain on a little real text: the command, its answer, its second run, its models."""

import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit_lines import moves
from kill import kill, moments

from headrace.infra.registry.versions import Registry
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Tracking
from headrace.training.moe import export as exports

Command = Callable[..., tuple[int, dict[str, Any], str]]


def test_it_ends_with_a_promoted_model_and_a_round(chain: Any) -> None:
    o = chain["answer"]
    assert chain["code"] == 0 and o["decision"] == "promote", chain["err"][-2000:]
    assert o["read"] == 1260 == o["kept"] + sum(o["rejected"].values()) + o["unreadable"]
    assert set(o["alignment"]) == {"sft", "reward", "ppo"}
    for stage in o["alignment"].values():
        assert stage["low"] <= stage["gain"] <= stage["high"]
    again = o["round"]
    assert again["drift"] is True and again["decision"] == "promote"
    for side in ("new", "old"):
        assert {"before", "after", "plain"} <= set(again["metrics"][side])
    assert str(again["champion"]) == "2"


def test_every_stage_reports_its_end_and_its_amount(chain: Any) -> None:
    for stage in ("inventory", "scan", "tokenize: .*"):
        assert re.search(rf"^{stage}: done in [\d.]+ s", chain["err"], re.MULTILINE), stage
    for stage, amount in (("pretrain", "120 steps"), ("SFT", "10 steps"), ("PPO", "1 rounds")):
        line = rf"^{stage}: done in [\d.]+ s, {amount}"
        assert re.search(line, chain["err"], re.MULTILINE), stage


def test_the_report_is_self_contained(chain: Any) -> None:
    page = Path(chain["answer"]["report"]).read_text(encoding="utf-8")
    assert page.count("<svg") >= 8 and "<script" not in page and "<img" not in page
    for part in ("Pretraining", "Held-out quality", "Alignment", "First gate", "Retraining"):
        assert part in page
    assert Path(chain["answer"]["release"], "report.html").exists()


def test_mlflow_shows_the_chain(chain: Any) -> None:
    store = Tracking(Home(chain["home"]))
    (parent,) = store.client.search_runs([store.experiment()], "tags.mlflow.runName = 'chain'")
    tags = parent.data.tags
    assert (tags["decision"], tags["round_decision"], tags["champion"]) == (
        "promote", "promote", "2",
    )  # fmt: skip
    those = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    children = store.client.search_runs([store.experiment()], those)
    stages = {c.data.tags["stage"]: c for c in children}
    assert set(stages) == {"pretrain", "sft", "reward", "ppo", "gate", "ewc"} and len(children) == 7
    for run in (parent, *(stages[s] for s in ("pretrain", "ewc"))):
        assert len(store.client.get_run(run.info.run_id).inputs.dataset_inputs) == 1

    def artifacts(run: Any, folder: str = "") -> set[str]:
        return {f.path for f in store.client.list_artifacts(run.info.run_id, folder)}

    assert "report.html" in artifacts(parent)
    assert artifacts(stages["pretrain"], "plots") == {"plots/loss.svg", "plots/expert-load.svg"}
    # A policy of the user's own puts its hash into the names.
    shown = {re.sub(r"-[0-9a-f]{8}\b", "", name) for name in artifacts(stages["gate"])}
    assert {"gate.html", "decision.json", "plots"} <= shown
    version = store.client.get_model_version("headrace", "2")
    assert version.description.startswith("# A headrace model") and version.tags["parent_version"]
    assert version.tags["gate_decision"] == "promote" and version.tags["release_id"]


def test_all_of_a_chain_that_led_to_a_version_is_referred_to(chain: Any, headrace: Command) -> None:
    """So gc finds nothing, and the second run below finds everything."""
    code, answer, err = headrace(chain["home"], "gc", "--keep", "0")
    assert code == 0 and answer["removed"] == [] and len(answer["kept"]) > 10, err
    code, answer, _ = headrace(chain["home"], "audit", "verify")
    assert code == 0 and answer["unsigned"] == 0 and not answer["torn"]
    code, answer, _ = headrace(chain["home"], "audit", "show")
    made = [line["action"] for line in answer["lines"]]
    assert made.count("promote") == 2 and "release" in made


def test_a_second_run_reuses_all_and_says_the_same(chain: Any, headrace: Command) -> None:
    code, answer, err = headrace(chain["home"], *chain["args"])
    assert code == 0 and "pretrain:" not in err and "scan:" not in err
    for key in ("release_id", "export", "decision", "alignment", "round", "report", "kept"):
        assert answer[key] == chain["answer"][key], key


@pytest.mark.slow
def test_another_window_has_another_round(
    chain: Any, headrace: Command, state_copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    home = state_copy(tmp_path / "home")
    place = chain["args"].index("--window") + 1
    other = [*chain["args"][:place], str(chain["other"]), *chain["args"][place + 1 :]]
    code, answer, err = headrace(home, *other)
    assert code == 0 and "pretrain:" not in err, err[-2000:]
    first, second = chain["answer"]["round"], answer["round"]
    assert second["release_id"] != first["release_id"]
    assert (second["decision"], second["version"], second["champion"]) == ("promote", "3", "3")
    assert Registry(Tracking(Home(home)), "headrace").version("3").tags["parent_version"] == "2"
    for args, said in ((chain["args"], first), (other, second)):
        code, answer, err = headrace(home, *args)
        assert code == 0 and answer["round"]["release_id"] == said["release_id"]
        assert "EWC" not in err and "scan:" not in err, "both are there"


def test_a_chain_starts_from_a_finished_release(
    chain: Any, headrace: Command, state_copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    home = state_copy(tmp_path / "home")
    first = chain["answer"]
    code, answer, err = headrace(home, "run", "--release", first["release_id"], *chain["sets"])
    assert code == chain["code"], err[-2000:]
    assert answer["release_id"] == first["release_id"] and answer["read"] == first["read"]
    assert Path(answer["export"]).parent.name == Path(first["export"]).parent.name
    assert answer["round"] is None and answer["champion"]


def test_the_champion_can_be_used_by_name(looked: Command) -> None:
    code, answer, _ = looked("evaluate", "--model", "champion")
    bits = answer["metrics"]["bits_per_byte"]
    assert code == 0 and bits["low"] <= bits["value"] <= bits["high"] and bits["n"] > 10
    assert "bits_per_byte.lang=zh" in answer["metrics"]
    code, answer, _ = looked("generate", "--model", "champion", "--prompt", "court")
    assert code == 0 and isinstance(answer["text"], str)


def test_the_champion_knows_its_window_now(chain: Any, looked: Command) -> None:
    """The corpus of the new champion holds the window, so the same text is less of a surprise."""
    first = chain["answer"]["round"]["verdict"]
    code, answer, _ = looked("monitor", "--window", str(chain["window"]))
    assert code == 0 and answer["effect"] < first["effect"]


@pytest.mark.slow
def test_killed_between_promotion_and_record_a_retraining_says_the_same(
    chain: Any, headrace: Command, state_copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    args = ["retrain", "--force", "--window", str(chain["other"]),
            "--set", "ewc.material.tokens=40000", *chain["sets"][-2:]]  # fmt: skip
    whole = state_copy(tmp_path / "whole")
    code, want, err = headrace(whole, *args)
    assert code == 0 and want["moved"], err[-2000:]
    home = state_copy(tmp_path / "killed")
    before = moves(home)
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.flows.cli", *args, "--json"],
        env={**os.environ, "HEADRACE_HOME": str(home)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while moves(home) == before:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    kill(process)
    code, got, err = headrace(home, *args)
    assert code == 0, err[-2000:]
    for key in ("release_id", "decision", "metrics", "version", "champion", "moved"):
        assert got[key] == want[key], key
    assert moves(home) == [*before, got["version"]]
    assert not list((home / "windows" / "rounds").glob("*.json"))


def test_a_damaged_window_moves_nothing(chain: Any, damaged: Path, headrace: Command) -> None:
    code, answer, err = headrace(chain["home"], "retrain", "--window", str(damaged), "--force")
    assert code in (4, 5), err[-500:]
    assert code == 5 or answer["error"]["code"] == 4
    assert Registry(Tracking(Home(chain["home"])), "headrace").champion().number == "2"


def test_a_model_with_nan_weights_is_rejected_at_the_gate(
    chain: Any, headrace: Command, tmp_path: Path
) -> None:
    """Also under the name of a sound run, whose scores are known."""
    good = Path(chain["answer"]["round"]["export"])
    for value, all_of_it in ((math.nan, True), (math.inf, False)):
        bad = tmp_path / str(value) / good.parent.name / "export"
        shutil.copytree(good, bad)
        weights = exports.read_tensors(bad / exports.WEIGHTS)
        for tensor in weights.values() if all_of_it else [next(iter(weights.values()))]:
            tensor.view(-1)[slice(None) if all_of_it else slice(1)] = value
        exports.save_tensors(weights, bad / exports.WEIGHTS)
        code, answer, err = headrace(
            chain["home"], "gate", "--champion", "champion", "--challenger", str(bad)
        )
        assert code == 5 and answer["decision"] == "reject", err[-2000:]
        assert "the challenger: its weights are not finite numbers" in answer["reasons"][0]


def _bytes(answer: dict[str, Any]) -> dict[str, str]:
    """Hashes of all that a chain leaves for good: release, both models, the page of the round."""
    release, export = Path(answer["release"]), Path(answer["export"])
    challenger = Path(answer["round"]["export"])
    files = [*release.rglob("*.parquet"), release / "manifest.json"]
    files += [folder / "model.safetensors" for folder in (export, challenger)]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(
    chain: Any, tmp_path: Path, headrace: Command
) -> None:
    dice = moments("test_killed_at_any_moment_it_ends_the_same")
    home, killed = tmp_path / "home", 0
    line = [sys.executable, "-m", "headrace.flows.cli", *chain["args"], "--json"]
    for _ in range(8):
        process = subprocess.Popen(
            line, env={**os.environ, "HEADRACE_HOME": str(home)}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(dice.uniform(8, 60))
            break
        except subprocess.TimeoutExpired:
            kill(process)
            killed += 1
    code, answer, err = headrace(home, *chain["args"])
    assert killed and code == 0, err[-2000:]
    for key in ("release_id", "kept", "rejected", "alignment", "decision"):
        assert answer[key] == chain["answer"][key], key
    assert _bytes(answer) == _bytes(chain["answer"])
    assert str(answer["round"]["champion"]) == "2"
    assert moves(home) == ["1", "2"], "a move was made twice"
