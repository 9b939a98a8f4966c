"""Every error says what to do, and what it says fits the case: commands, options and keys exist."""

import ast
import errno
import os
import re
import shlex
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from headrace.flows.cli import cli
from headrace.infra import errors, releases, storage
from headrace.infra.artifacts import Release, Totals
from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import Shared
from headrace.infra.corpora.base import _what_to_do
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.spark.session import check_master
from headrace.infra.stack import events
from headrace.infra.state.state_dir import Home, home
from headrace.tasks.configuration import settings as verbs
from headrace.tasks.gate.evaluation import release_folder
from headrace.tasks.mlflow_log import registry, tracking
from headrace.tasks.model_refs import resolve_model
from headrace.tasks.retraining.round import check_enough

ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
KINDS = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, HeadraceError)}
KINDS |= {"DivergedError", "StatusError"}
COMMANDS = [cli, *cli.commands.values()]
OPTIONS = {o for c in COMMANDS for p in c.params if isinstance(p, click.Option) for o in p.opts}
OPTIONS |= {o for c in COMMANDS for p in c.params for o in getattr(p, "secondary_opts", ())}
OPTIONS |= {"--help"}
KEYS = {
    key for n, v in vars(verbs).items() if n.endswith("Config") for key, _, _ in leaves(v)
} | {"ports.X"}  # fmt: skip


def text_of(node: ast.expr) -> str:
    """The string that an expression makes, X for what is filled in."""
    return "".join(
        part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "X"
        for part in _parts(node)
    )


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.JoinedStr):
        return [p for value in node.values for p in _parts(value)]
    if isinstance(node, ast.BinOp):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.IfExp):
        return [*_parts(node.body), *_parts(node.orelse)]
    return [node]


def raised() -> list[tuple[str, ast.Call, str]]:
    """(place, call, text of its hint) of every error that is made."""
    out = []
    for top in LAYERS:
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                name = getattr(getattr(node, "func", None), "id", None)
                if isinstance(node, ast.Call) and name in KINDS:
                    hint = text_of(node.args[1]) if len(node.args) > 1 else ""
                    out.append((f"{path.relative_to(ROOT)}:{node.lineno}", node, hint))
    return out


RAISED = raised()


def hints() -> list[tuple[str, str]]:
    """(place, string) of every string in the code that names a command of headrace."""
    out = []
    for top in LAYERS:
        for path in sorted((ROOT / top).rglob("*.py")):
            tree = ast.parse(path.read_text())
            docs = {
                id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)
            }  # fmt: skip
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in docs:
                    text = text_of(node)
                    if "`headrace " in text:
                        out.append((f"{path.relative_to(ROOT)}:{node.lineno}", text))
    return out


def test_every_error_says_what_to_do() -> None:
    assert len(RAISED) > 100
    assert [place for place, _, hint in RAISED if not hint.strip()] == []


def test_a_hint_is_said_once_and_plainly() -> None:
    assert [p for p, _, hint in RAISED if re.search(r"\bmend\b|\bgo on\b|\bnobody\b", hint)] == []


@pytest.mark.parametrize(("place", "text"), hints(), ids=lambda x: x if ".py:" in x else "")
def test_a_command_in_a_hint_can_be_called_as_it_stands(place: str, text: str) -> None:
    for said in re.findall(r"`headrace ([^`]+)`", text):
        verb, *rest = shlex.split(said)
        if verb in ("X", "--help", "VERB"):
            continue
        command = cli.commands.get(verb)
        assert command is not None, f"{place}: no verb {verb}"
        known = {o: p for p in command.params for o in [*p.opts, *p.secondary_opts]}
        given = [word.split("=")[0] for word in rest if word.startswith("--")]
        assert set(given) <= {*known, "--help"}, f"{place}: {said}"
        needed = {p.name for p in command.params if p.required and isinstance(p, click.Option)}
        # Alone, or with its argument, a verb is named; with options it is a command to copy.
        if set(given) - {"--set", "--help"}:
            assert needed <= {known[o].name for o in given}, f"{place}: {said} lacks an option"


@pytest.mark.parametrize(("place", "call", "hint"), RAISED, ids=[r[0] for r in RAISED])
def test_options_and_keys_in_a_hint_exist(place: str, call: ast.Call, hint: str) -> None:
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", hint):
        assert option in OPTIONS, f"{place}: {option}"
    for key in re.findall(r"--set ([a-zA-Z_.]+)=", hint):
        assert key in KEYS | {"a.b"}, f"{place}: {key}"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_a_local_path_gets_no_hint_of_s3(number: int) -> None:
    for path in ("/data/in", "in", "file:///data/in"):
        said = storage.unreadable(path, OSError(number, os.strerror(number)))
        assert said.hint and os.strerror(number) in said.message
        assert not re.search(r"AWS|key|bucket|endpoint", said.hint)
    assert "AWS" in storage.unreadable("s3://b/in", OSError(number, os.strerror(number))).hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("When getting information for key 'x' in bucket 'b': AWS Error ACCESS_DENIED", "rights"),
        ("AWS Error INVALID_ACCESS_KEY_ID during HeadObject", "AWS_ACCESS_KEY_ID"),
        ("AWS Error SIGNATURE_DOES_NOT_MATCH", "AWS_SECRET_ACCESS_KEY"),
        ("AWS Error NO_SUCH_BUCKET during ListObjectsV2", "the name of the bucket"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 7", "AWS_ENDPOINT_URL"),
    ],
)
def test_a_fault_of_s3_gets_the_hint_of_its_cause(said: str, hint: str) -> None:
    assert hint in storage.unreadable("s3://b/x", OSError(said)).hint


def event(**more: Any) -> dict[str, Any]:
    return {**events.drift_event("m", events.Payload(window="/w")).as_sent(), **more}


def automation(**changed: Any) -> dict[str, Any]:
    return {
        "name": "on drift", "enabled": True, "actions": [{"type": "run-deployment"}],
        "trigger": {"expect": [events.DRIFT], "match": {events.RESOURCE: "headrace.model.m"}},
        **changed,
    }  # fmt: skip


OTHER = {"expect": [events.DRIFT], "match": {events.RESOURCE: "headrace.model.n"}}
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    ("answer", "alert", "said"),
    [
        ([automation(enabled=False)], event(), "the automation `on drift` is paused: enable it"),
        ([automation(enabled=False), automation(enabled=False, name="two")], event(),
         "`on drift`, `two` is paused"),
        ([], event(), "no deployment listens for headrace.model.m: `headrace deploy`"),
        ([automation(actions=[{"type": "send-notification"}])], event(), "`headrace deploy`"),
        ([automation(trigger=OTHER)], event(), "--set model.name=n"),
        ([automation(trigger=OTHER), automation(enabled=False)], event(), "is paused"),
        ([automation()], event(not_before=SOON), "it was put off until"),
        ([automation()], event(), None),
        ([automation(enabled=False), automation()], event(), None),
        (503, event(), "Prefect answers"),
        (None, event(), "no server is up: `headrace up`"),
    ],
)  # fmt: skip
def test_an_alert_that_waits_says_why(
    json_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
    answer: Any, alert: dict[str, Any], said: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr("headrace.infra.stack.prefect_api.BUSY", 0)
    storage.write_json(home().outbox / "a.json", alert)
    status, body = (answer, None) if isinstance(answer, int) else (200, answer)
    with json_server(lambda *_: (status, body)) as (url, _):
        (waiting,) = events.waiting(home(), None if answer is None else f"{url}/api")
        if said is None:
            assert waiting.why is None
        else:
            assert waiting.why is not None and said in waiting.why
        paused = events.paused(f"{url}/api") if status == 200 and body else []
    disabled = [a["name"] for a in body or () if not a["enabled"]]
    assert len(paused) == len(disabled)
    assert all(
        name in line and "outbox" in line for name, line in zip(disabled, paused, strict=True)
    )


@pytest.mark.parametrize("own", [True, False])
def test_a_server_that_is_silent_is_told_from_none(
    monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    storage.write_json(home().outbox / "a.json", event())
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        api = f"http://127.0.0.1:{s.getsockname()[1]}/api"
        if own:
            monkeypatch.setenv("HEADRACE_OWN_SERVERS", f'["{api}"]')
        (waiting,) = events.waiting(home(), api)
    assert waiting.why is not None and "does not answer" in waiting.why
    log = str(home().logs / "stack" / "prefect.log")
    assert (log if own else "check PREFECT_API_URL") in waiting.why


def _release(folder: Path, *parts: str) -> str:
    for part in parts:
        (folder / part).mkdir(parents=True)
    return str(folder)


def test_what_is_no_release_says_which_case_it_is(tmp_path: Path) -> None:
    for folder, hint in (
        (str(tmp_path / "none"), "check the path"),
        (_release(tmp_path / "half", "documents"), "run the same `headrace curate` again"),
        (_release(tmp_path / "other", "images"), "the folder that `headrace curate` printed"),
    ):
        with pytest.raises(HeadraceError) as error:
            releases.manifest(folder)
        assert hint in error.value.hint, folder


def test_a_missing_champion_says_what_leads_to_one(state: Path) -> None:
    models = registry("headrace")

    def hint(name: str = "headrace") -> str:
        with pytest.raises(UsageError, match="no champion") as error:
            registry(name).champion()
        return error.value.hint

    assert hint() == f"`headrace run` makes one in {state}"
    export = state / "runs" / "one" / "export"
    export.mkdir(parents=True)
    run = tracking().start_run("gate", {})
    version = models.register(run, export, str(state / "releases/r"), {})
    decide = f"`headrace decide --version {version} --promote --by NAME --why TEXT`"
    assert hint() == f"no version was promoted yet: {decide} promotes the last one"
    assert hint("hedrace") == "models here: headrace (--set model.name=NAME), or `headrace run`"
    models.mark_waiting(version, None, run)
    assert hint() == f"version {version} waits for a person: {decide} promotes it"


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("champoin", "no such alias or path", "did you mean champion?"),
        ("challenger", "no challenger", "name the export itself"),
        ("s3://b/export", "a model is read from a local folder", "copy it here"),
        ("/none/export", "no such folder", "or an alias: champion, challenger"),
    ],
)
def test_what_is_no_model_says_why(state: Path, model: str, message: str, hint: str) -> None:
    with pytest.raises(HeadraceError) as error:
        resolve_model(model, Shared())
    assert message in error.value.message and hint in error.value.hint


@pytest.mark.parametrize(
    ("release", "message"), [(None, "doesn't say of which release"), ("r1", "r1 is not in")]
)
def test_a_model_of_another_state_folder(state: Path, release: str | None, message: str) -> None:
    with pytest.raises(UsageError) as error:
        release_folder(release)
    assert message in error.value.message and "--suite" in error.value.hint
    assert release is None or str(state / "releases" / release) in error.value.hint


@pytest.mark.parametrize(
    ("counts", "message", "hint"),
    [
        ({"read": 5, "kept": 5}, "it holds no more", "collect more text"),
        ({"read": 50, "kept": 1, "unreadable": 49}, "49 can't be read", "fix the files"),
        ({"read": 50, "kept": 1, "rejected": {"bias": 40, "format": 9}}, "40 are rejected at bias",
         "fix the window or collect"),
        ({"read": 50, "kept": 1, "rejected": {"duplicate": 49}},
         "are in the champion's corpus already", "doesn't know yet"),
    ],
)  # fmt: skip
def test_a_damaged_window_names_what_was_lost(
    counts: dict[str, Any], message: str, hint: str
) -> None:
    totals = Totals.model_validate({"unreadable": 0, "rejected": {}, **counts})
    child = Release(id="x", folder="/r", totals=totals, input_bytes=1)
    with pytest.raises(HeadraceError) as error:
        check_enough(child, verbs.RetrainConfig())
    assert message in error.value.message and hint in error.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "free some space at"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "another file than the pinned one"),
        ("ERROR: No matching distribution found", "check the network"),
    ],
)
def test_a_package_that_can_not_be_fetched(said: str, hint: str, tmp_path: Path) -> None:
    assert hint in _what_to_do(said, Home(tmp_path))


def test_a_silent_spark_master_says_how_to_start_or_leave_it() -> None:
    with pytest.raises(UsageError) as error:
        check_master("spark://127.0.0.1:1")
    assert "`headrace up` starts one here" in error.value.hint


@pytest.mark.parametrize(
    ("uri", "hint"),
    [("s3a://b/x", "write s3://b/x"), ("gs://b/x", "use a path, file:// or s3://")],
)
def test_an_unknown_scheme(uri: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        storage.local_path(uri)
    assert error.value.hint == hint
