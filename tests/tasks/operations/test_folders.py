import json
from pathlib import Path
from typing import Any

from headrace.infra.state.state_dir import Home
from headrace.tasks.operations.folders import Folder, named, survey, words


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def only(root: Path) -> Folder:
    (folder,) = survey(Home(root))
    return folder


def test_a_release_names_its_parent_and_nothing_else(tmp_path: Path) -> None:
    manifest = {"release_id": "b", "parent": "a", "inputs": [{"uri": "runs/x/export"}]}
    put(tmp_path / "releases" / "b" / "manifest.json", manifest)
    assert only(tmp_path).names == {"a"} and only(tmp_path).shown == "releases/b"


def test_tokens_name_all_of_their_corpus(tmp_path: Path) -> None:
    manifest = {"release_id": "b", "releases": ["a", "b"], "settings": {"c": 1}}
    put(tmp_path / "tokens" / "t" / "manifest.json", manifest)
    assert only(tmp_path).names == {"a", "b"}


def test_a_run_of_an_earlier_version_names_every_word(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "sft-1"
    put(folder / "job.json", {"model": "/state/runs/pretrain-1/export"})
    put(folder / "export" / "lineage.json", {"release_id": "r"})
    assert {"pretrain-1", "r", "state"} <= only(tmp_path).names
    put(folder / "inputs.json", {"parents": [{"kind": "run", "id": "derive-1"}]})
    put(folder / "model.json", {"parents": [{"kind": "tokens", "id": "t"}], "note": "pretrain-1"})
    assert only(tmp_path).names == {"derive-1", "t", "r"}


def test_a_damaged_manifest_keeps_all_that_it_may_name(tmp_path: Path) -> None:
    path = tmp_path / "releases" / "b" / "manifest.json"
    put(path, {})
    path.write_text('{"parent": "a", "torn')
    assert "a" in only(tmp_path).names


def test_a_measurement_names_what_it_measures(tmp_path: Path) -> None:
    put(tmp_path / "runs" / "evaluate-1" / "evaluation.json", {"of": "ppo-1"})
    assert only(tmp_path).of == "ppo-1"


def test_a_place_names_the_folder_that_it_lies_in() -> None:
    assert named("/old/home/runs/ppo-1/export") == {"ppo-1"}
    assert named("releases/abc/") == {"abc"} == named("abc")
    assert named("s3://bucket/x") == set() == named("runs") - {"runs"}
    assert words(["a.b c/d"]) == {"a.b", "c", "d"}
