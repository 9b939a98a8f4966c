"""Artifacts: found again or made once, and read as what they are."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra import artifacts, storage
from headrace.infra.artifacts import (
    Compared,
    Decision,
    Evaluation,
    Figure,
    Inputs,
    Lineage,
    Model,
    Ref,
    Release,
    TokenSet,
    produce,
)
from headrace.infra.errors import InputError, UsageError
from headrace.infra.json_types import Json
from headrace.infra.state.state_dir import home


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))


def _inputs(*decides: str) -> Inputs:
    parents = (Ref(kind="run", id="pretrain-1"),)
    return Inputs.deciding("evaluate", *decides, parents=parents, of=parents[0], code=())


def _evaluation(folder: Path) -> Evaluation:
    storage.write_bytes(folder / "documents.parquet", b"scores")
    return Evaluation(metrics={"bits_per_byte": Figure(value=2.0, low=1.9, high=2.1, n=9)})


def test_finished_work_is_found_again() -> None:
    calls: list[Path] = []

    def make(folder: Path) -> Evaluation:
        calls.append(folder)
        return _evaluation(folder)

    first, again = (produce(Evaluation, _inputs("a"), make) for _ in range(2))
    assert first == again
    assert len(calls) == 1
    assert first.folder == str(home().runs / first.id)
    assert first.parents == _inputs("a").parents
    assert produce(Evaluation, _inputs("b"), make).id != first.id


def test_what_decides_is_content_not_order() -> None:
    def key(value: dict[str, Json]) -> str:
        return Inputs.deciding("x", value, code=()).id

    assert key({"a": 1, "b": [2]}) == key({"b": [2], "a": 1}) != key({"a": 1, "b": [3]})


def test_work_that_raises_leaves_no_record() -> None:
    def fail(folder: Path) -> Evaluation:
        _evaluation(folder)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        produce(Evaluation, _inputs("a"), fail)
    assert artifacts.find(Evaluation, _inputs("a")) is None
    noted = storage.read_json(_inputs("a").folder / artifacts.INPUTS)
    assert noted == {"parents": [{"kind": "run", "id": "pretrain-1"}], "of": "pretrain-1"}
    assert produce(Evaluation, _inputs("a"), _evaluation).bits.value == 2.0


KILLED = """
import os, signal
from headrace.infra import artifacts, storage
from tests.infra.test_artifacts import _evaluation, _inputs

def make(folder):
    made = _evaluation(folder)
    if MOMENT == "before the record":
        os.kill(os.getpid(), signal.SIGKILL)
    return made

publish = storage.publish
def killed(temporary, path):
    if MOMENT == "before the rename" and path.name == "evaluation.json":
        os.kill(os.getpid(), signal.SIGKILL)
    publish(temporary, path)
storage.publish = killed
artifacts.produce(artifacts.Evaluation, _inputs("a"), make)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("moment", "finished"),
    [("before the record", False), ("before the rename", False), ("at the end", True)],
)
def test_a_kill_leaves_all_of_the_record_or_none(moment: str, finished: bool) -> None:
    code = f"MOMENT = {moment!r}\n{KILLED}"
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (artifacts.find(Evaluation, _inputs("a")) is not None) == finished
    assert produce(Evaluation, _inputs("a"), _evaluation).bits.n == 9


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"metrics": 3}', b"\xff"])
def test_a_damaged_record_is_set_aside_and_made_again(content: bytes) -> None:
    first = produce(Evaluation, _inputs("a"), _evaluation)
    (Path(first.folder) / "evaluation.json").write_bytes(content)
    assert produce(Evaluation, _inputs("a"), _evaluation) == first
    assert list(home().quarantine.rglob("evaluation.json"))


def test_an_artifact_without_its_files_is_damaged() -> None:
    first = produce(Evaluation, _inputs("a"), _evaluation)
    Path(first.documents).unlink()
    with pytest.raises(ValueError, match="is missing"):
        Evaluation.load(first.folder).whole()
    assert produce(Evaluation, _inputs("a"), _evaluation) == first
    assert Path(first.documents).exists()


def test_a_copy_of_a_state_folder_has_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = produce(Evaluation, _inputs("a"), _evaluation)
    home().root.rename(tmp_path / "copy")
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "copy"))
    found = artifacts.find(Evaluation, _inputs("a"))
    assert found is not None
    assert found.documents == first.documents.replace("/home/", "/copy/")


def test_artifacts_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(produce(Evaluation, _inputs("a"), _evaluation), "id", "other")  # noqa: B010


DECISION = {
    "decision": "reject",
    "policy": "default",
    "champion": "version 1",
    "challenger": "retrained",
    "metrics": {
        "old.bits_per_byte": {
            "champion": 2.0,
            "challenger": 2.5,
            "difference": 0.5,
            "interval": [0.4, 0.6],
            "se": 0.1,
            "p": 1.0,
            "margin": 0.02,
            "verdict": "worse",
            "n": 20,
            "power": None,
            "direction": "lower",
            "require": "not_worse",
            "label": "Old text",
            "unit": "bits per byte",
            "judge": "interval",
            "against": "version 1",
        }
    },
    "slices": {},
    "power": {"old.bits_per_byte": None},
    "guards": {"g": {"value": None, "low": 0, "high": None, "label": "", "ok": None, "note": "x"}},
    "reasons": ["Old text: worse"],
    "notes": [],
    "confidence": 0.95,
    "resamples": 4000,
    "seed": 7,
    "data": {"old": "r1"},
    "compared_with": "1",
}


def test_a_decision_is_the_contract_s_file(tmp_path: Path) -> None:
    for name in ("gate.html", "gate-abc-against-2.html"):
        (tmp_path / name).touch()
    inputs = Inputs(tmp_path, "decision-abc-against-2.json")
    decision = produce(Decision, inputs, lambda _: Decision.model_validate(DECISION))
    assert storage.read_json(tmp_path / "decision-abc-against-2.json") == DECISION
    assert decision.report == str(tmp_path / "gate-abc-against-2.html")
    assert isinstance(decision.metrics["old.bits_per_byte"], Compared)
    assert sorted(p.name for p in tmp_path.glob("*.json")) == ["decision-abc-against-2.json"]


def test_a_release_is_a_view_of_its_manifest(tmp_path: Path) -> None:
    files = [{"uri": f"/x/{i}", "bytes": 5, "error": "no gzip"} for i in range(150)]
    totals = {"read": 5, "kept": 2, "rejected": {"format": 1, "facts": 1}, "unreadable": 1}
    manifest = {
        "release_id": "child",
        "parent": "first",
        "inputs": [*files, {"uri": "/y", "bytes": 1, "records": 3}],
        "totals": totals,
        "files": [],
    }
    with pytest.raises(InputError, match="not a release"):
        Release.load(tmp_path)
    storage.write_json(tmp_path / "manifest.json", manifest)
    release = Release.load(str(tmp_path))
    assert (release.id, release.folder, release.parent) == ("child", str(tmp_path), "first")
    assert release.parents == (Ref(kind="release", id="first"),)
    assert release.input_bytes == 751
    assert (release.totals.rejects, release.totals.add_up) == (2, True)
    notes = release.unreadable_files
    assert (notes.count, len(notes.first), notes.first[0].why) == (150, 100, "no gzip")
    assert release.noted_files.count == release.left_out.count == 0


def test_token_shards_are_a_view_of_their_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no token shards"):
        TokenSet.load(tmp_path)
    manifest = {
        "release_id": "r",
        "tokens": 9,
        "heldout_tokens": 2,
        "vocabulary": 50,
        "sequence_length": 8,
        "tokenizer": {"sha256": "abc"},
        "files": [],
    }
    storage.write_json(tmp_path / "manifest.json", manifest)
    tokens = TokenSet.load(str(tmp_path))
    assert (tokens.release_id, tokens.tokens, tokens.vocabulary) == ("r", 9, 50)
    assert tokens.tokenizer["sha256"] == "abc"


def test_a_model_without_weights_is_made_again(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path / "sft-1")

    def make(folder: Path) -> Model:
        for name in ("config.json", "model.safetensors"):
            storage.write_bytes(folder / "export" / name, b"{}")
        return Model(stage="sft", run_id="not stored")

    model = produce(Model, inputs, make)
    assert (model.id, model.run_id) == ("sft-1", None)
    (Path(model.export) / "model.safetensors").unlink()
    assert artifacts.find(Model, inputs) is None
    assert produce(Model, inputs, make) == model


def test_lineage_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    assert Lineage.of(tmp_path) == Lineage()
    said = {"release_id": "r", "seed": 7, "model_sha256": "x", "releases": ["a", "r"]}
    (tmp_path / "lineage.json").write_text(json.dumps(said))
    lineage = Lineage.of(tmp_path)
    assert (lineage.release_id, lineage.releases, lineage.reward) == ("r", ("a", "r"), None)
    assert lineage.as_json() == said
    assert lineage.with_(reward="runs/x").as_json() == {**said, "reward": "runs/x"}
