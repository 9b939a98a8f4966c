import json
from pathlib import Path

import pytest

from headrace.infra import audit
from headrace.infra.errors import NotPromotedError, UsageError
from headrace.infra.home import Home
from headrace.infra.registry import Registry
from headrace.infra.tracking import Tracking


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return Tracking(Home(tmp_path_factory.mktemp("registry")))


def export(store: Tracking, name: str) -> tuple[str, Path]:
    folder = store.home.runs / name / "export"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    run = store.start_run(name, {})
    store.finish(run)
    return run, folder


def test_the_life_of_a_champion(store: Tracking) -> None:
    models = Registry(store, "m")
    with pytest.raises(UsageError, match="no champion"):
        models.champion()
    run1, one = export(store, "one")
    release = str(store.home.root / "releases" / "r1")
    v1 = models.register(run1, one, release, {"reward": "runs/r/export"})
    assert models.register(run1, one, release, {}) == v1, "the same run registers once"
    models.move_champion(v1, None, "gate", "better", run1)
    assert models.champion().export == one and models.champion().tags["reward"] == "runs/r/export"

    run2, two = export(store, "two")
    v2 = models.register(run2, two, release, {})
    with pytest.raises(NotPromotedError, match="compared with None"):
        models.move_champion(v2, None, "gate", "against nobody", run2)
    assert models.champion().number == v1
    models.move_champion(v2, v1, "gate", "better", run2)
    assert models.current("challenger") is None, "a champion is no challenger any more"
    # Asking again for the first decision changes nothing: it was made, and others followed.
    models.move_champion(v1, None, "gate", "better", run1)
    assert models.champion().number == v2
    moves = [(e["from"], e["to"]) for e in audit.read(store.home.audit)]
    assert moves == [(None, v1), (v1, v2)]


def test_the_audit_line_is_the_commit(store: Tracking) -> None:
    """A kill between the line and the alias is mended when the champion is next asked for."""
    models = Registry(store, "mended")
    versions = []
    for name in ("a", "b"):
        run, folder = export(store, name)
        versions.append(models.register(run, folder, str(store.home.root / "releases/r"), {}))
        if name == "a":
            models.move_champion(versions[0], None, "gate", "first", run)
    audit.append(
        store.home.audit, action="promote", model="mended", **{"from": versions[0]}, to=versions[1]
    )
    assert models.champion().number == versions[1]


def test_an_unknown_version_is_a_users_mistake(store: Tracking) -> None:
    with pytest.raises(UsageError, match="no version 99"):
        Registry(store, "m").version("99")


def test_curves_and_figures_are_logged(store: Tracking, tmp_path: Path) -> None:
    run = store.start_run("stage", {"headrace.key": "k1"})
    lines = [{"step": i, "loss": 2.0 - i / 10, "note": "x"} for i in range(1, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    store.log_curve(run, tmp_path / "metrics.jsonl")
    store.log_values(run, {"bits_per_byte.lang=zh": {"value": 2.5}, "name": "text"})
    store.log_params(run, {"a": {"b": 1}})
    assert store.find_run("k1") is None, "an unfinished run is not found"
    store.finish(run)
    assert store.find_run("k1") == run
    data = store.client.get_run(run).data
    assert data.params == {"a.b": "1"} and data.metrics["bits_per_byte.lang_zh.value"] == 2.5
    assert [m.value for m in store.client.get_metric_history(run, "loss")] == [
        pytest.approx(x["loss"]) for x in lines
    ]


def test_a_copy_of_the_state_folder_writes_into_itself(store: Tracking, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(store.home.root, tmp_path / "copy")
    copy = Tracking(Home(tmp_path / "copy"))
    run = copy.start_run("there", {})
    assert str(tmp_path / "copy") in copy.client.get_run(run).info.artifact_uri
    assert Registry(copy, "m").champion().export.is_relative_to(tmp_path / "copy")
