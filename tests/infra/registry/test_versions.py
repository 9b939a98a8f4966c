import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.infra import audit, audit_key
from headrace.infra.errors import NotPromotedError, UsageError, ValidationError
from headrace.infra.registry.rules import DECISIONS
from headrace.infra.registry.versions import Registry
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Tracking


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
    with pytest.raises(NotPromotedError, match="compared was no model: run it again"):
        models.move_champion(v2, None, "gate", "against nobody", run2)
    assert models.champion().number == v1
    models.move_champion(v2, v1, "gate", "better", run2)
    assert models.current("challenger") is None, "a champion is no challenger any more"
    # Asking again for the first decision changes nothing: it was made, and others followed.
    for run in (run1, "a run of a copy of the state folder"):
        models.move_champion(v1, None, "gate", "better", run)
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


def test_a_forged_file_moves_no_alias_and_takes_no_decision(tmp_path: Path) -> None:
    store = Tracking(Home(tmp_path))
    models, v1, v2, _ = two_versions(store, "forged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_key, "make", dict)
        patch.setattr(audit_key, "record", lambda *_: None)
        place = tmp_path / "forged" / "audit.jsonl"
        place.parent.mkdir()
        for to in (v1, v2):
            audit.append(place, action="promote", model="forged", **{"from": None}, to=to)
    place.replace(store.home.audit)
    for use in (models.champion, models.waiting, lambda: models.decide(v2, True, "A", "b")):
        with pytest.raises(ValidationError, match=r"isn't the one recorded|are missing"):
            use()
    pointed = store.client.get_model_version_by_alias("forged", "champion")
    assert str(pointed.version) == v1 and len(store.home.audit.read_bytes().splitlines()) == 2


def test_a_version_that_headrace_did_not_register_stops_nothing_but_its_use(
    store: Tracking,
) -> None:
    models, v1, v2, run2 = two_versions(store, "foreign")
    v3 = str(store.client.create_model_version("foreign", "s", run2).version)
    store.client.set_model_version_tag("foreign", v3, "waiting", "true")
    assert models.decide(v3, True, "A", "b").to == v3
    found = models.champion()
    assert found.number == v3 and models.waiting() == []
    for tag in ("export", "release"):
        with pytest.raises(UsageError, match=f"version {v3} of foreign lacks the tag `{tag}`") as e:
            getattr(found, tag)
        assert "set the tag in MLflow" in e.value.hint
    assert models.of_export(store.home.root / "nowhere") is None
    assert models.rollback("A", "b").to == v1
    assert models.decide(v3, False, "A", "b").action == "refuse" and v2 != v3


def two_versions(store: Tracking, name: str) -> tuple[Registry, str, str, str]:
    """(registry, versions 1 and 2, run of 2), version 1 the champion by a gate."""
    models, release = Registry(store, name), str(store.home.root / "releases/r")
    run1, one = export(store, f"{name}-1")
    run2, two = export(store, f"{name}-2")
    (two / "README.md").write_text(
        "---\nlanguage: [zh, en]\n---\n# Model card of two\n\n## Lineage\n- x\n"
    )
    v1 = models.register(run1, one, release, {"gate_decision": "promote"})
    models.move_champion(v1, None, "gate", "first", run1)
    v2 = models.register(run2, two, release, {"gate_decision": "reject"})
    return models, v1, v2, run2


def decisions(models: Registry) -> list[tuple[object, ...]]:
    entries = audit.read(models.tracking.home.audit)
    return [
        (e["action"], e["version"], e["from"], e["to"], e["who"])
        for e in entries
        if e.get("model") == models.name and e["action"] in DECISIONS
    ]


def test_a_person_overrides_the_gate_and_goes_back(store: Tracking) -> None:
    models, v1, v2, run2 = two_versions(store, "person")
    assert models.since(v2) is None
    made = models.decide(v2, True, " A. Lead ", "reads better 测试")
    assert made == models.last_decision() and made.why == "reads better 测试"
    assert models.champion().number == v2 and models.since(v2) == made.time
    tags = models.version(v2).tags
    assert tags["decision"] == "promote" and tags["decided_by"] == "A. Lead"
    assert tags["gate_decision"] == "reject", "what the gate said stays"
    # Another promotion of an earlier one, so that going back passes the same version twice.
    models.decide(v1, True, "B", "x")
    assert [models.rollback("B", "y").to for _ in range(2)] == [v2, v1]
    assert models.champion().number == v1
    with pytest.raises(UsageError, match="no champion to go back to"):
        models.rollback("B", "y")
    assert decisions(models)[1:] == [
        ("promote", v2, v1, v2, "A. Lead"),
        ("promote", v1, v2, v1, "B"),
        ("rollback", v2, v1, v2, "B"),
        ("rollback", v1, v2, v1, "B"),
    ]
    # The gate that asks again for what was undone changes nothing.
    models.move_champion(v2, v1, "gate", "better", run2)
    models.decide(v2, False, "B", "no")
    models.move_champion(v2, v1, "gate", "better", "another run of the gate")
    assert models.champion().number == v1, "a refused version is no gate's to promote"


def test_approved_is_what_was_promoted_and_not_taken_back(store: Tracking) -> None:
    models, v1, v2, run2 = two_versions(store, "approved")
    assert models.approved() == [v1]
    models.move_champion(v2, v1, "gate", "better", run2)
    assert models.approved() == [v1, v2]
    models.rollback("A", "slower")
    assert models.approved() == [v1], "a rollback takes the approval back"
    models.decide(v2, True, "A", "fast enough now")
    assert models.approved() == [v1, v2]
    models.decide(v1, False, "A", "it was wrong all along")
    assert models.approved() == [v2]
    assert Registry(store, "none of them").approved() == []


def test_a_rollback_is_not_undone_by_another_run_of_the_gate(store: Tracking) -> None:
    models, v1, v2, run2 = two_versions(store, "undone")
    models.move_champion(v2, v1, "gate", "better", run2)
    assert not models.decided_by_person(v2, v1, run2), "the gate's own verdict, carried out"
    models.rollback("A", "slower")
    assert models.decided_by_person(v2, v1, "a second run")
    # The same export under another parent run is judged by another run of the gate.
    models.move_champion(v2, v1, "gate", "better", "a second run")
    assert models.champion().number == v1
    assert not models.mark_waiting(v2, v1, "a third run"), "nobody is asked twice"
    models.decide(v2, True, "A", "fast enough now")
    assert models.champion().number == v2, "a person promotes it again"


def test_a_rollback_passes_by_what_was_refused_or_is_gone(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "passed")
    release = str(store.home.root / "releases/r")
    numbers = [v1, v2]
    for name in ("passed-3", "passed-4"):
        numbers.append(models.register(*export(store, name), release, {}))
    for number in numbers[1:]:
        models.decide(number, True, "A", "b")
    models.decide(v2, False, "A", "it was wrong all along")
    store.client.delete_model_version("passed", numbers[2])
    made = models.rollback("A", "slower")
    assert made.to == v1 and models.champion().number == v1
    assert made.entry["skipped"] == [
        {"version": numbers[2], "because": "was deleted in MLflow"},
        {"version": v2, "because": "was refused"},
    ]
    left, again = models.version(numbers[3]).tags, models.version(v1).tags
    assert (left["decision"], left["decided_by"], left["why"]) == ("rolled back", "A", "slower")
    assert (again["decision"], again["decided_by"]) == ("rollback", "A")
    models.decide(numbers[3], True, "A", "b")
    assert models.rollback("A", "c").to == v1, "those passed by are off the stack"
    models.decide(numbers[3], True, "A", "b")
    models.decide(v1, False, "A", "b")
    with pytest.raises(UsageError, match="version 1 was refused"):
        models.rollback("A", "c")


def test_a_refusal_moves_nothing(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "refused")
    made = models.decide(v2, False, "A", "worse")
    assert (made.before, made.to) == (v1, v1) and models.champion().number == v1
    assert models.version(v2).tags["decision"] == "refuse" and models.since(v2) is None
    assert "decision" in models.version(v1).tags
    with pytest.raises(UsageError, match="no champion to go back to"):
        models.rollback("A", "a refusal is nothing to go back from")


@pytest.mark.parametrize(
    ("version", "who", "why", "said"),
    [
        ("99", "A", "b", "no version 99"),
        ("two", "A", "b", "no version two"),
        ("1", "A", "b", "champion already"),
        ("2", " ", "b", "--by"),
        ("2", "A", "", "--why"),
        ("2", "A", "\udcff", "--why"),
    ],
)
def test_a_decision_that_can_not_be_made(
    store: Tracking, version: str, who: str, why: str, said: str
) -> None:
    models = Registry(store, "wrong")
    if models.current() is None:
        two_versions(store, "wrong")
    before = audit.read(store.home.audit)
    for promote in (True, False):
        with pytest.raises(UsageError, match=said) as e:
            models.decide(version, promote, who, why)
        assert e.value.hint
    assert audit.read(store.home.audit) == before


def test_a_version_that_is_judged_again_says_so_and_is_the_challenger(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "again")
    release = str(store.home.root / "releases/r")
    v3 = models.register(*export(store, "again-3"), release, {})
    assert (found := models.current("challenger")) and found.number == v3
    again = {"gate_decision": "promote", "parent_version": "7"}
    assert models.register("another run", models.version(v2).export, release, again) == v2
    assert (found := models.current("challenger")) and found.number == v2
    assert {k: found.tags[k] for k in again} == again
    models.register("another run", models.version(v1).export, release, {})
    assert (found := models.current("challenger")) and found.number == v2, "1 is the champion"
    assert (made := models.of_export(found.export)) and made.number == v2
    assert models.of_export(store.home.root / "nowhere") is None


def test_one_export_is_one_version_whoever_registers_it_at_once(tmp_path: Path) -> None:
    store = Tracking(Home(tmp_path))
    _, folder = export(store, "same")
    runs = [store.start_run("gate", {}) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(
            lambda run: Registry(store, "same").register(run, folder, str(tmp_path / "r"), {}), runs
        )
        assert set(made) == {"1"}


def test_what_waits_is_asked_once(store: Tracking) -> None:
    models, v1, v2, run2 = two_versions(store, "manual")
    assert models.waiting() == []
    assert models.mark_waiting(v2, v1, run2) and models.mark_waiting(v2, v1, run2)
    assert [v.number for v in models.waiting()] == [v2]
    assert (found := models.current("challenger")) and found.number == v2
    models.decide(v2, True, "A", "b")
    assert models.waiting() == [] and models.champion().number == v2
    assert not models.mark_waiting(v2, v1, run2), "that verdict is decided"
    models.rollback("A", "b")
    assert not models.mark_waiting(v2, v1, run2) and models.champion().number == v1


def test_what_waits_is_not_promoted_over_a_champion_that_it_never_met(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "stale")
    run3, three = export(store, "stale-3")
    v3 = models.register(run3, three, str(store.home.root / "releases/r"), {})
    models.mark_waiting(v3, v1, run3)
    assert models.version(v3).tags["compared_with"] == v1
    models.decide(v2, True, "A", "that one never waited")
    with pytest.raises(UsageError, match="compared with version 1, but the champion is version 2"
                       ) as e:  # fmt: skip
        models.decide(v3, True, "A", "b")
    assert "--stale" in e.value.hint and models.champion().number == v2
    with pytest.raises(NotPromotedError, match="champion is version 2 by now, compared was ver"):
        models.mark_waiting(v3, v1, run3)
    made = models.decide(v3, True, "A", "b", stale=True)
    assert (made.entry["stale"], made.entry["compared_with"]) == (True, v1)
    assert models.champion().number == v3 and "stale" not in audit.read(store.home.audit)[-2]


def test_the_cards_stand_in_the_registry(store: Tracking) -> None:
    models, _, v2, _ = two_versions(store, "cards")
    assert store.client.get_model_version("cards", v2).description == (
        "# Model card of two\n\n## Lineage\n- x"
    )
    models.decide(v2, True, "A", "b")
    said = store.client.get_registered_model("cards").description
    assert said == (
        f"Champion: version {v2}, whose page has the whole card.\n\n# Model card of two"
    )


KILLED = """
import os, sys
from pathlib import Path
from headrace.infra import audit, audit_key
from headrace.infra.state.state_dir import Home
from headrace.infra.registry.rules import DECISIONS
from headrace.infra.registry.versions import Registry
from headrace.infra.tracking.runs import Tracking
models = Registry(Tracking(Home(Path(sys.argv[1]))), "killed")
place, action, version = sys.argv[2:]
append = audit.append
def committed(*args, **fields):
    made = append(*args, **fields)
    setattr(models, place, lambda *_: os._exit(9))
    return made
audit.append = committed
if action == "rollback":
    models.rollback("A", "b")
else:
    models.decide(version, action == "promote", "A", "b")
"""


@pytest.mark.parametrize("place", ["_follow", "_point"])
def test_killed_between_line_and_alias_it_is_mended(tmp_path: Path, place: str) -> None:
    store = Tracking(Home(tmp_path))
    models, v1, v2, run2 = two_versions(store, "killed")
    models.mark_waiting(v2, v1, run2)

    def killed(action: str, version: str) -> None:
        command = [sys.executable, "-c", KILLED, str(tmp_path), place, action, version]
        assert subprocess.run(command).returncode == 9
        made = audit.read(store.home.audit)[-1]
        assert (made["action"], made["who"]) == (action, "A")

    def pointed_at() -> str:
        return str(store.client.get_model_version_by_alias("killed", "champion").version)

    killed("refuse", v2)
    assert "waiting" in store.client.get_model_version("killed", v2).tags, "killed too late"
    assert models.waiting() == [] and models.champion().number == v1
    killed("promote", v2)
    assert pointed_at() == v1
    assert models.champion().number == v2 and models.current("challenger") is None
    killed("rollback", "")
    assert pointed_at() == v2
    assert models.champion().number == v1
    assert [d[0] for d in decisions(models)] == ["promote", "refuse", "promote", "rollback"]


def test_a_version_deleted_in_mlflow_stops_nobody(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "deleted")
    models.decide(v2, True, "A", "b")
    store.client.delete_model_version("deleted", v2)
    assert models.current() is None
    assert models.rollback("A", "it is gone").to == v1
    assert models.champion().number == v1


def test_an_unknown_version_is_a_users_mistake(store: Tracking) -> None:
    with pytest.raises(UsageError, match="no version 99"):
        Registry(store, "m").version("99")


def test_parameters_and_figures_are_logged(store: Tracking) -> None:
    run = store.start_run("stage", {"headrace.key": "k1"})
    store.log_values(run, {"bits_per_byte.lang=zh": {"value": 2.5}, "name": "text"})
    store.log_params(run, {"a": {"b": 1}})
    assert store.find_run("k1") is None, "an unfinished run is not found"
    store.finish(run)
    assert store.find_run("k1") == run
    data = store.client.get_run(run).data
    assert data.params == {"a.b": "1"} and data.metrics["bits_per_byte.lang_zh.value"] == 2.5


def test_a_copy_of_the_state_folder_writes_into_itself(store: Tracking, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(store.home.root, tmp_path / "copy")
    copy = Tracking(Home(tmp_path / "copy"))
    run = copy.start_run("there", {})
    copy.log_text(run, "new", "note.txt")
    written = f"mlartifacts/{run}/artifacts/note.txt"
    assert (tmp_path / "copy" / written).exists() and not (store.home.root / written).exists()
    assert Registry(copy, "m").champion().export.is_relative_to(tmp_path / "copy")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_decision_that_was_carried_out_survives_the_end_of_its_line(
    store: Tracking, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    models, _, v2, _ = two_versions(store, f"end-{lost}")
    models.decide(v2, True, "A", "better")
    path = store.home.audit
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    assert models.champion().number == v2
    assert path.read_bytes() == whole and "was completed" in caplog.text


def test_a_decision_whose_line_never_ended_was_not_made(
    store: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, v1, v2, _ = two_versions(store, "no-end")
    before = store.home.audit.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(audit_key, "record", lambda *_: None)  # it was killed before it was noted
        audit.append(store.home.audit, action="promote", model="no-end", version=v2, who="A",
                     why="b", run_id="r", **{"from": v1, "to": v2})  # fmt: skip
    line = store.home.audit.read_bytes()
    store.home.audit.write_bytes(line[:-1])
    assert models.champion().number == v1
    models.decide(v2, False, "A", "no")
    assert store.home.audit.read_bytes().startswith(before)
    assert [e["action"] for e in audit.read(store.home.audit)][-1] == "refuse"


def test_a_decision_that_was_noted_stands_though_its_line_lost_its_end(store: Tracking) -> None:
    models, v1, v2, _ = two_versions(store, "lost-end")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_follow", lambda _: None)  # nothing was carried out
        models.decide(v2, True, "A", "b")
    line = store.home.audit.read_bytes()
    store.home.audit.write_bytes(line[:-1])
    assert models.champion().number == v2 != v1
    models.decide(v1, False, "A", "no")
    assert store.home.audit.read_bytes().startswith(line)


@pytest.mark.parametrize("moved", ["to another", "deleted"])
def test_an_alias_edit_in_mlflow_is_reported_where_it_is_undone(
    store: Tracking, moved: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"edited {moved}"
    models, v1, v2, _ = two_versions(store, name)
    assert models.champion().number == v1
    decisions_before = decisions(models)
    if moved == "deleted":
        store.client.delete_registered_model_alias(name, "champion")
    else:
        store.client.set_registered_model_alias(name, "champion", v2)
    for _ in range(2):
        assert models.champion().number == v1
    said = [r.getMessage() for r in caplog.records if "has no effect" in r.getMessage()]
    assert len(said) == 1 and "headrace decide" in said[0] and name in said[0]
    edits = [e for e in audit.read(store.home.audit) if e["action"] == "alias set back"]
    edits = [e for e in edits if e["model"] == name]
    assert [(e["from"], e["to"]) for e in edits] == [(None if moved == "deleted" else v2, v1)]
    assert decisions(models) == decisions_before, "it decides nothing"
    models.decide(v2, True, "A", "better")
    assert models.rollback("A", "b").to == v1


def test_two_folders_on_one_server_do_not_undo_each_others_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts of such a store in the working directory
    uri = f"sqlite:///{tmp_path / 'theirs.db'}"
    first, second = (Tracking(Home(tmp_path / name), uri, own=False) for name in ("a", "b"))
    models, others = Registry(first, "m"), Registry(second, "m")
    run, folder = export(first, "one")
    version = models.register(run, folder, str(first.home.root / "releases" / "r"), {})
    models.move_champion(version, None, "gate", "better", run)

    run, folder = export(second, "one")
    with pytest.raises(UsageError, match=f"is decided on by .*{first.home.root}"):
        others.register(run, folder, str(second.home.root / "releases" / "r"), {})
    with pytest.raises(UsageError, match="is decided on by"):
        others.decide(version, False, "A", "no")
    audit.append(second.home.audit, action="promote", model="m", **{"from": None}, to="7")
    others.repair()
    seen = others.current()
    assert others.waiting() == [] and seen is not None and seen.number == version
    assert models.champion().number == version
    actions = [[e["action"] for e in audit.read(s.home.audit)] for s in (first, second)]
    assert actions == [["promote"], ["promote"]], "nothing was set back"

    # A backup of the folder that decides is the same folder.
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "audit.jsonl").write_bytes(first.home.audit.read_bytes())
    restored = Registry(Tracking(Home(tmp_path / "c"), uri, own=False), "m")
    with pytest.raises(UsageError, match="is the champion already"):
        restored.decide(version, True, "A", "again")


def test_two_folders_on_one_server_have_runs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts of such a store in the working directory
    uri = f"sqlite:///{tmp_path / 'theirs.db'}"
    first, second = (Tracking(Home(tmp_path / name), uri, own=False) for name in ("a", "b"))
    one = first.start_run("stage", {"headrace.key": "k"})
    assert second.start_run("stage", {"headrace.key": "k"}) != one
    assert first.start_run("stage", {"headrace.key": "k"}) == one, "it continues"
    first.finish(one)
    assert first.find_run("k") == one and second.find_run("k") is None
