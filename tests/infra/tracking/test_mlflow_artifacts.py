"""Artifacts are named without the state folder's path, also what earlier versions named by it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.state.state_dir import Home
from headrace.infra.tracking import mlflow_artifacts, mlflow_model
from headrace.infra.tracking.runs import Tracking

PART = st.text(st.characters(exclude_characters="/\0?#%", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(PART, max_size=4))
def test_a_name_is_a_path_below_the_folder_or_none(parts: list[str]) -> None:
    folder = Path("/state/mlartifacts")
    found = mlflow_artifacts.local("mlflow-artifacts:/" + "/".join(parts), folder)
    assert found is None or found == folder or folder in found.parents


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/RUN/artifacts", "RUN/artifacts"),
        ("mlflow-artifacts:/RUN/artifacts/a%20b", "RUN/artifacts/a b"),
        ("mlflow-artifacts:/", ""),
        ("mlflow-artifacts:/../audit.jsonl", None),
        ("mlflow-artifacts:/RUN/%2e%2e/%2e%2e/audit.jsonl", None),
        ("mlflow-artifacts://host/RUN", None),
        ("file:///state/mlartifacts/RUN", None),
        ("s3://bucket/RUN", None),
    ],
)
def test_only_names_of_our_own_store_are_below_the_folder(uri: str, path: str | None) -> None:
    folder = Path("/state/mlartifacts")
    assert mlflow_artifacts.local(uri, folder) == (None if path is None else folder / path)


def old_store(home: Home) -> tuple[str, str]:
    """What an earlier version of headrace left: (a run, the experiment), a model registered."""
    from mlflow import MlflowClient

    client = MlflowClient(home.mlflow_uri, home.mlflow_uri)
    place = (home.root / "mlartifacts").as_uri()
    experiment = client.create_experiment("headrace", artifact_location=place)
    run = client.create_run(experiment)
    uri = run.info.artifact_uri
    assert uri.startswith(place)
    model = Path(uri.removeprefix("file://")) / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"architectures": ["Glm4MoeForCausalLM"]}))
    client.create_registered_model("headrace")
    client.create_model_version("headrace", source=f"{uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias("headrace", "champion", "1")
    return run.info.run_id, experiment


def test_what_an_earlier_version_logged_is_found_loaded_and_moved(tmp_path: Path) -> None:
    home = Home(tmp_path / "here")
    home.root.mkdir()
    run, experiment = old_store(home)
    theirs = home.root.parent / "elsewhere"
    (tmp_path / "here").rename(theirs)  # it was moved before it was adopted, too
    store = Tracking(Home(theirs))
    assert store.experiment() == experiment
    kind = store.client.get_experiment(experiment).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development", "its page opens on the runs"
    assert store.client.get_run(run).info.artifact_uri == f"mlflow-artifacts:/{run}/artifacts"
    version = store.client.get_model_version_by_alias("headrace", "champion")
    assert version.source == f"mlflow-artifacts:/{run}/artifacts/model"
    listed = {f.path for f in store.client.list_artifacts(run, "model")}
    assert {"model/config.json", f"model/{mlflow_model.MLMODEL}"} <= listed
    folder = theirs / mlflow_artifacts.FOLDER
    assert not mlflow_artifacts.adopt(store.uri, folder), "nothing is left to do"


def test_other_experiments_keep_their_places(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    old_store(home)
    from mlflow import MlflowClient

    client = MlflowClient(home.mlflow_uri, home.mlflow_uri)
    places = {"theirs": (tmp_path / "mlartifacts").as_uri(), "headrace-s3": "s3://b/mlartifacts"}
    ids = {name: client.create_experiment(name, place) for name, place in places.items()}
    assert mlflow_artifacts.adopt(home.mlflow_uri, home.root / "mlartifacts")
    for name, place in places.items():
        assert client.get_experiment(ids[name]).artifact_location == place


def test_an_empty_store_is_left_alone(tmp_path: Path) -> None:
    assert not mlflow_artifacts.adopt(f"sqlite:///{tmp_path / 'new.db'}", tmp_path)
