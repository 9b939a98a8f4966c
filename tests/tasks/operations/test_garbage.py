"""gc: what a model version refers to stays, whole; of all else the newest; nothing by halves."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.registry import kept_registry
from headrace.infra.stack.events import Payload, drift_event, to_outbox
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.state.state_dir import Home
from headrace.tasks.corpus.curation import validate_finished
from headrace.tasks.mlflow_log import open_chain, record_stage, registry, tracking
from headrace.tasks.models.training import generate_text
from headrace.tasks.operations import garbage
from headrace.tasks.operations.garbage import Collected

HEX = "0123456789ab"
PARENT, CHILD, OLD, NEW = (c * 32 for c in "abcd")


def put(path: Path, value: Any, age: int = 0) -> None:
    """A JSON file, `age` seconds old, in a folder with something that takes room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    (path.parent / "big.bin").write_bytes(b"x" * 1000)
    for file in (path, path.parent / "big.bin", path.parent):
        when = 1_700_000_000 - age
        os.utime(file, (when, when))


def release(home: Path, name: str, age: int = 0, parent: str | None = None) -> None:
    put(home / "releases" / name / "manifest.json", {"release_id": name, "parent": parent}, age)


def run(home: Path, name: str, file: str, said: Any, age: int = 0) -> Path:
    put(home / "runs" / name / file, said, age)
    return home / "runs" / name


@pytest.fixture
def home(made: Path, state: Path) -> Path:
    """A copy of that state folder."""
    shutil.copytree(made, state)
    return state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A chain that led to a version, a round from it, and litter of several ages."""
    state = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HOME", str(state))
        fill(state)
        yield state


def fill(state: Path) -> None:
    release(state, PARENT)
    release(state, CHILD, parent=PARENT)
    release(state, OLD, age=300)
    release(state, NEW, age=100)
    for n, of in enumerate((PARENT, OLD, NEW)):
        put(state / "tokens" / f"{n}{HEX[1:]}" / "manifest.json", {"release_id": of})
    tokens = str(state / "tokens" / f"0{HEX[1:]}")
    pretrain = run(state, f"pretrain-{HEX}", "job.json", {"data": tokens})
    run(state, f"derive-{HEX}", "result.json", {"release": PARENT})
    data = {"model": f"{pretrain}/export", "data": f"{state}/runs/derive-{HEX}/ppo"}
    ppo = run(state, f"ppo-{HEX}", "job.json", data)
    put(ppo / "export" / "config.json", {})
    run(state, f"evaluate-{HEX}", "evaluation.json", {"of": f"ppo-{HEX}"})
    chain_folder = run(state, f"chain-{HEX}", "answer.json", {"x": f"runs/baselines-{HEX}"})
    run(state, f"baselines-{HEX}", "evaluation.json", {})
    chain = open_chain("chain", "c", {"folder": f"runs/{chain_folder.name}"})
    record_stage("reward", run(state, f"reward-{HEX}", "job.json", {}), {}, {}, {}, chain)
    gate = record_stage("gate", ppo, {}, {}, {}, chain)
    tags = {"release_id": CHILD}
    registry("headrace").register(gate, ppo / "export", str(state / "releases" / CHILD), tags)
    for name, age in (("pretrain-old", 400), ("pretrain-mid", 200), ("pretrain-new", 100)):
        run(state, name, "answer.json", {}, age)
    run(state, "evaluate-old", "evaluation.json", {"of": "pretrain-old"}, 500)
    put(state / "latest.json", {"release_id": NEW})


REFERRED = {
    f"releases/{PARENT}", f"releases/{CHILD}", f"tokens/0{HEX[1:]}",
    *(f"runs/{x}-{HEX}" for x in
      ("pretrain", "derive", "ppo", "evaluate", "chain", "baselines", "reward")),
}  # fmt: skip


def there(home: Path) -> set[str]:
    return {f"{k}/{p.name}" for k in ("releases", "runs", "tokens") for p in (home / k).iterdir()}


def test_what_no_version_refers_to_goes(home: Path) -> None:
    before = there(home)
    listed = garbage.collect(0, dry_run=True)
    assert there(home) == before and listed.dry_run, "listing removes nothing"
    made = garbage.collect(0)
    assert there(home) == REFERRED == set(made.kept)
    assert set(made.removed) == before - REFERRED == set(listed.removed)
    assert made.bytes == listed.bytes > 8000
    assert not (home / "latest.json").exists(), "it pointed at a release that went"
    assert not (home / ".trash").exists()
    assert garbage.collect(0).removed == []


def test_the_newest_stay_with_what_they_were_made_of(home: Path) -> None:
    run(home, f"sft-{HEX}", "job.json", {"model": "runs/pretrain-old/export"}, 50)
    garbage.collect(1)
    spare = there(home) - REFERRED
    # The newest run names the oldest, which thus stays, and what was measured of it too.
    assert spare == {
        f"releases/{NEW}", f"tokens/2{HEX[1:]}", f"runs/sft-{HEX}", "runs/pretrain-old",
        "runs/evaluate-old",
    }  # fmt: skip
    assert (home / "latest.json").exists()


def test_a_word_that_happens_to_match_keeps_nothing(home: Path) -> None:
    """A run that names its parents refers to those, whatever else its files hold."""
    chain = home / "runs" / f"ppo-{HEX}"
    parents = [{"kind": "run", "id": f"pretrain-{HEX}"}, {"kind": "run", "id": f"derive-{HEX}"}]
    put(chain / "inputs.json", {"parents": parents})
    put(chain / "notes.json", {"about": f"better than pretrain-old and {OLD}"})
    removed = garbage.collect(0).removed
    assert {f"releases/{OLD}", "runs/pretrain-old"} <= set(removed)
    assert there(home) == REFERRED


def test_parents_and_what_is_measured_stay(home: Path) -> None:
    run(home, "pretrain-of", "model.json", {"parents": [{"kind": "release", "id": OLD}]})
    run(home, "pretrain-of", "inputs.json", {"parents": []})
    run(home, "evaluate-of", "inputs.json", {"of": "pretrain-of"})
    run(home, f"sft-{HEX}", "inputs.json", {"parents": [{"kind": "run", "id": "pretrain-of"}]})
    put(home / "runs" / f"sft-{HEX}" / "export" / "lineage.json",
        {"release_id": NEW, "reward": "runs/reward-of/export", "prompts": None})  # fmt: skip
    run(home, "reward-of", "inputs.json", {"parents": []})
    tags = {"headrace.process": "another-machine 1 1", "folder": f"runs/sft-{HEX}"}
    store = tracking()
    assert store.client.create_run(store.experiment(), tags=tags).info.status == "RUNNING"
    kept = set(garbage.collect(0).kept)
    assert kept - REFERRED == {
        f"runs/sft-{HEX}", "runs/pretrain-of", "runs/evaluate-of", "runs/reward-of",
        f"releases/{OLD}", f"releases/{NEW}", f"tokens/1{HEX[1:]}", f"tokens/2{HEX[1:]}",
    }  # fmt: skip


def test_the_window_of_a_round_under_way_stays(home: Path) -> None:
    window = str(home / "releases" / OLD)
    put(home / "windows" / "rounds" / "a.json", {"model": "m", "windows": [window], "version": "1"})
    ended = {"model": "m", "windows": [f"releases/{NEW}"], "state": "Promoted"}
    put(home / "windows" / "rounds" / "b.json", ended)
    kept = garbage.collect(0).kept
    assert f"releases/{OLD}" in kept and f"releases/{NEW}" not in kept


def test_links_are_neither_followed_nor_removed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "precious").write_text("x")
    (home / "runs" / "link").symlink_to(outside)
    (home / "releases" / OLD / "link").symlink_to(outside)
    made = garbage.collect(0)
    assert f"releases/{OLD}" in made.removed and "runs/link" not in made.removed
    assert (outside / "deep" / "precious").read_text() == "x"
    assert (home / "runs" / "link").is_symlink()


KILLED = """
import os, shutil
from headrace.tasks.operations import garbage
seen = []
def half(path, **_):
    seen.append(path)
    if len(seen) == 1:
        os._exit(9)
shutil.rmtree = half
garbage.collect(0)
"""


def test_killed_in_the_middle_the_next_one_ends_it(home: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED]).returncode == 9
    assert there(home) == REFERRED and (home / ".trash").is_dir()
    made = garbage.collect(0)
    assert made.removed == [] and made.bytes > 8000
    assert not (home / ".trash").exists() and there(home) == REFERRED


def test_nothing_goes_while_a_step_is_at_work(home: Path) -> None:
    work = "from headrace.tasks.task import step\n" + (
        "step('s').__call__(lambda: print('at work', flush=True) or input()).fn()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "at work\n"
    before = there(home)
    with pytest.raises(UsageError, match="at work"):
        garbage.collect(0)
    process.communicate("\n")
    assert there(home) == before
    assert garbage.collect(0).removed


def test_an_empty_state_folder_has_nothing_to_remove(state: Path) -> None:
    nothing = {"runs": 0, "events": 0}
    assert garbage.collect(3) == Collected([], [], [], prefect=nothing, bytes=0, dry_run=False)


def test_gc_shows_and_frees_what_has_expired_too(home: Path) -> None:
    put(home / ".work" / "abc" / "inventory.json", {})
    kept = home / "runs" / f"ppo-{HEX}"
    put(kept / "checkpoints" / "step-00000001" / "state.json", {})
    put(kept / "result.json", {})
    gone = home / "runs" / "pretrain-old"  # goes as a whole
    put(gone / "checkpoints" / "step-00000001" / "state.json", {})
    put(gone / "result.json", {})
    shown = garbage.collect(0, dry_run=True)
    assert (kept / "checkpoints").exists() and "runs/pretrain-old" in shown.removed
    done = garbage.collect(0)
    assert done == replace(shown, dry_run=False)
    assert [(e.kind, e.path) for e in done.expired] == [
        ("unfinished curations", ".work/abc"),
        ("checkpoints of finished stages", f"runs/ppo-{HEX}/checkpoints"),
    ]
    assert not (kept / "checkpoints").exists() and (kept / "export").exists()
    assert not (home / ".work" / "abc").exists() and garbage.collect(0).bytes == 0
    later = RetentionSettings(checkpoint_days=10_000, unfinished_days=10_000)
    put(home / ".work" / "abc" / "inventory.json", {})
    assert garbage.collect(0, settings=later).expired == []


def test_the_window_of_an_alert_that_waits_stays(home: Path) -> None:
    assert f"releases/{OLD}" in garbage.collect(0, dry_run=True).removed
    window = str(home / "releases" / OLD)
    to_outbox(Home(home), drift_event("headrace", Payload(window=window, reference=PARENT)))
    said = garbage.collect(0)
    assert f"releases/{OLD}" in said.kept and f"releases/{NEW}" in said.removed


def test_a_shell_that_does_not_name_the_registry_removes_nothing(
    home: Path, tmp_path: Path
) -> None:
    """As a cron job would: to its empty store every folder looks unused."""
    kept_registry.file(Home(home)).unlink()
    kept_registry.note(Home(home), "https://mlflow.example", own=False)
    before = there(home)
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"keeps its models on https://mlflow\.example"):
            garbage.collect(0, dry_run)
    assert there(home) == before


def test_what_a_decision_names_stays_whatever_mlflow_says(home: Path) -> None:
    models = registry("headrace")
    models.decide("1", True, "A", "b")
    models.client.delete_registered_model_alias("headrace", "champion")
    models.client.delete_model_version("headrace", "1")
    said = garbage.collect(0)
    chain = {f"releases/{CHILD}", f"releases/{PARENT}", f"tokens/0{HEX[1:]}",
             *(f"runs/{x}-{HEX}" for x in ("pretrain", "derive", "ppo", "evaluate"))}  # fmt: skip
    assert chain <= set(said.kept) and f"releases/{OLD}" in said.removed


@pytest.mark.parametrize("verb", ["generate", "validate"])
def test_speaking_and_validating_count_as_at_work(home: Path, verb: str) -> None:
    work: dict[str, Callable[[], object]] = {
        "generate": lambda: generate_text("nowhere", "x", 1, 1.0, Shared()),
        "validate": lambda: validate_finished(str(home / "nowhere")),
    }
    with pytest.raises(HeadraceError):
        work[verb]()
    with pytest.raises(UsageError, match="at work"):
        garbage.collect(0, dry_run=True)
