"""The contract of the command: every verb's help, what isn't built yet, wrong use."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.flows.cli import cli, spread
from headrace.flows.cli_runtime import SECRET, Call, without_values
from headrace.infra import audit
from headrace.infra.configuration.settings import Shared
from headrace.infra.registry import kept_registry
from headrace.infra.state.state_dir import Home
from headrace.tasks.configuration.settings import PretrainConfig

BUILT = (
    "run", "curate", "validate", "tokenize", "pretrain", "plan", "align", "generate", "evaluate",
    "gate", "monitor", "retrain", "up", "down", "deploy", "alert", "decide", "rollback", "status",
    "gc", "backup", "restore", "audit", "doctor",
)  # fmt: skip
LATER = (
    ["replay"], ["align", "dpo"], ["align", "grpo"],
)  # fmt: skip


def headrace(*args: str, home: Path) -> tuple[int, dict[str, object], str]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", *args, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "HEADRACE_HOME": str(home)},
    )
    line = done.stdout.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(line), done.stderr


@pytest.mark.parametrize("verb", [*BUILT, *sorted({x[0] for x in LATER} - set(BUILT))])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    said = CliRunner().invoke(cli, [verb, "--help"])
    assert said.exit_code == 0 and f"headrace {verb}" in said.output
    for option in ("--config", "--set", "--profile", "--json"):
        assert option in said.output


def test_help_creates_no_state(tmp_path: Path) -> None:
    env = {**os.environ, "HEADRACE_HOME": str(tmp_path / "h")}
    code = [sys.executable, "-m", "headrace.flows.cli", "--help"]
    assert subprocess.run(code, env=env, capture_output=True).returncode == 0
    assert not (tmp_path / "h").exists()


def test_what_comes_later_says_so(tmp_path: Path) -> None:
    for args in LATER:
        said = CliRunner().invoke(cli, [*args, "--json"])
        assert said.exit_code == 2, args
        assert "not built yet" in json.loads(said.output.splitlines()[-1])["error"]["message"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nonsense"], "No such command"),
        (["curate", "--input", "x"], "--output"),
        (["curate", "--input", "x", "--output", "y", "--profile", "moon"], "--profile"),
        (["align", "ppo", "--model", "m", "--data", "d", "--output", "o"], "--reward"),
        (["plan", "--preset", "local", "--gpus", "none", "--gpu", "h100"], "--gpus"),
        (["monitor"], "--window"),
        (["monitor", "--window", "x", "--inbox", "y"], "--inbox"),
        (["decide", "--version", "1", "--by", "a", "--why", "b"], "--promote"),
        (
            ["decide", "--version", "1", "--promote", "--refuse", "--by", "a", "--why", "b"],
            "one of",
        ),
        (["decide", "--version", "1", "--promote", "--by", "a"], "--why"),
        (
            ["decide", "--version", "1", "--refuse", "--stale", "--by", "a", "--why", "b"],
            "--stale",
        ),
        (["decide", "--version", "1", "--promote", "--by", "a", "--why", "b"], "no version 1"),
        (["rollback", "--by", "a", "--why", "b"], "no champion to go back to"),
        (["gc"], "--keep"),
        (["gc", "--keep", "-1"], "--keep"),
    ],
)
def test_wrong_use_is_exit_two_and_says_what(args: list[str], said: str, tmp_path: Path) -> None:
    code, answer, err = headrace(*args, home=tmp_path)
    error = answer["error"]
    assert isinstance(error, dict)
    assert code == 2 == error["code"] and said in error["message"] and said in err


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    code, answer, _ = headrace("doctor", home=tmp_path)
    checks = answer["checks"]
    assert isinstance(checks, list) and code == (0 if answer["ok"] else 2)
    names = {"java", "pyspark", "deepspeed", "torch", "prefect", "mlflow", "s3", "disk", "memory"}
    assert names == {c["name"] for c in checks}
    assert answer["home"] == str(tmp_path) and str(answer["tracking_uri"]).startswith("sqlite:///")
    assert answer["prefect_api"] is None and "Java" in str(answer["java"])


def test_a_glob_that_the_shell_expands_is_several_inputs() -> None:
    assert spread(["curate", "--input", "a", "b", "--output", "o", "--input", "c"]) == [
        "curate", "--input", "a", "--input", "b", "--output", "o", "--input", "c",
    ]  # fmt: skip
    assert spread(["align", "sft", "--model", "m"]) == ["align", "sft", "--model", "m"]


def test_the_log_holds_no_value_of_a_setting(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()  # in a folder without state a verb that looks leaves no log
    code, _, _ = headrace("doctor", "--set", "notify.webhook=https://x/secret", home=tmp_path)
    log = (tmp_path / "logs/headrace.log").read_text()
    assert "doctor --set notify.webhook=…" in log and "secret" not in log
    assert f"ends with {code}" in log


def test_a_slip_in_what_comes_last_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    given = ("run", "--input", str(tmp_path / "in.jsonl"))
    code, said, err = headrace(*given, "--window", str(tmp_path / "gone"), home=tmp_path / "h")
    assert code == 3 and "gone" in str(said["error"]) and "inventory" not in err
    code, said, err = headrace(*given, "--set", "gate.policy=gone.yaml", home=tmp_path / "h")
    assert code == 2 and "gone.yaml" in str(said["error"]) and "inventory" not in err


SLIPS = {
    "run --release {gone}": "gone",
    "run --release {child}": "child release",
    "run --input {gone}": "gone",
    "run --input {text} --window {gone}": "gone",
    "run --input {text} --set gate.policy=gone.yaml": "gone.yaml",
    "curate --input {gone} --output {out}": "gone",
    "validate --release {gone}": "gone",
    "tokenize --release {gone} --output {out}": "gone",
    "pretrain --data {gone} --output {out}": "no token shards",
    "pretrain --data {tokens} --output {full} --no-resume": "not empty",
    "align sft --model champoin --data {text} --output {out}": "no such alias",
    "align sft --model {export} --data {gone} --output {out}": "gone",
    "align ppo --model {export} --data {text} --reward {gone} --output {out}": "gone",
    "generate --model champoin --prompt x": "no such alias",
    "evaluate --model champoin": "no such alias",
    "evaluate --model {gone}": "gone",
    "evaluate --model {full}": "no export",
    "evaluate --model {export} --suite {gone}": "--suite",
    "evaluate --model champion": "no champion",
    "gate --champion champoin --challenger {export}": "no such alias",
    "gate --champion {export} --challenger {gone}": "gone",
    "gate --champion {export} --challenger {export} --policy gone.yaml": "gone.yaml",
    "monitor --window {gone}": "gone",
    "monitor --reference {gone} --window {text}": "gone",
    "monitor --window {text}": "no champion",
    "monitor --inbox {gone}": "no such folder",
    "retrain --window {gone}": "gone",
    "retrain --window {text} --set gate.policy=gone.yaml": "gone.yaml",
    "retrain --window {text}": "no champion",
    "alert --window {gone}": "gone",
}
"""Slips in what a verb is given, and what it says."""
MANIFEST = {
    "release_id": "ab", "parent": "ab", "inputs": [], "files": [],
    "totals": {"read": 1, "kept": 1, "rejected": {}, "unreadable": 0},
    "tokens": 1, "heldout_tokens": 1, "vocabulary": 9, "sequence_length": 8,
}  # fmt: skip
"""What a child release and token shards say of themselves."""


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_an_argument_is_told_before_anything_heavy(slip: str, tmp_path: Path) -> None:
    """Prefect's server and torch take ten CPU seconds and more to start."""
    places = {k: tmp_path / k for k in ("gone", "out", "full", "export", "tokens", "child")}
    for name, file in (
        ("full", "x"), ("export", "config.json"), ("tokens", "manifest.json"),
        ("child", "manifest.json"),
    ):  # fmt: skip
        places[name].mkdir()
        (places[name] / file).write_text(json.dumps(MANIFEST))
    places["text"] = tmp_path / "text.jsonl"
    places["text"].write_text('{"text": "x", "prompt": "x", "response": "y"}\n')
    code = (
        "import atexit, sys\n"
        "heavy = ('prefect', 'torch')\n"
        "said = open(sys.argv.pop(1), 'w')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=said))\n"
        "from headrace.flows.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [word.format(**places) for word in slip.split()]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "loaded"), *arguments, "--json"],
        capture_output=True, text=True, env={**os.environ, "HEADRACE_HOME": str(tmp_path / "h")},
    )  # fmt: skip
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert done.returncode in (2, 3) and SLIPS[slip] in error["message"], error
    assert (tmp_path / "loaded").read_text() == "[]\n"


def test_every_argument_that_names_a_place_has_a_slip_in_the_table() -> None:
    writes = {"output", "config", "textfile"}
    for name, command in cli.commands.items():
        for option in command.params:
            if option.metavar in ("URI", "FILE", "URI|ALIAS", "NAME|FILE") and name != "replay":
                flag = f"--{'input' if option.name == 'inputs' else option.name}"
                if option.name not in writes:
                    assert any(s.startswith(name) and flag in s for s in SLIPS), (name, flag)


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    given = ("--profile", "cluster", "--set", "spark.master=spark://127.0.0.1:1")
    code, said, _ = headrace("doctor", *given, home=tmp_path)
    assert code == 2 and not said["ok"]
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    files = ("--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out"))
    code, said, _ = headrace("curate", *files, *given, home=tmp_path)
    assert code == 2 and "127.0.0.1:1" in str(said["error"])


def test_an_edited_record_of_decisions_is_exit_four(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit.append(path, action="promote", model="headrace", to="1", why="better")
    code, said, _ = headrace("audit", "verify", home=tmp_path)
    assert code == 0 and said["lines"] == 1 and said["torn"] is False
    code, said, _ = headrace("audit", "show", home=tmp_path)
    assert code == 0 and said["decisions"] == audit.read(path)
    path.write_bytes(path.read_bytes() + b'{"number"')
    code, said, _ = headrace("audit", "verify", home=tmp_path)
    assert code == 0 and said["torn"] is True
    path.write_bytes(path.read_bytes().replace(b"better", b"Better"))
    code, said, err = headrace("audit", "verify", home=tmp_path)
    assert code == 4 and "line 1" in str(said["error"]) and "line 1" in err


@pytest.mark.parametrize(
    ("home", "verb"),
    [
        ("file", "status"),
        ("file/below", "curate --input x --output y"),
        ("/proc/headrace", "doctor"),
        ("dangling/below", "doctor"),
    ],
)
def test_a_state_folder_that_can_not_be_used_is_one_line(
    tmp_path: Path, home: str, verb: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("/proc/nowhere/x")
    code, said, err = headrace(*verb.split(), home=tmp_path / home)
    assert code == 2 and os.path.realpath(tmp_path / home) in str(said["error"])
    assert "HEADRACE_HOME" in str(said["error"])
    assert err.startswith("error: the state folder") and len(err.splitlines()) == 2


@pytest.mark.parametrize(
    "args",
    [
        ["curate", "--input", "in.jsonl", "--output", "file"],
        ["curate", "--input", "in.jsonl", "--output", "file/below"],
        ["tokenize", "--release", "r", "--output", "file"],
        ["pretrain", "--data", "tokens", "--output", "file"],
        ["align", "sft", "--model", "m", "--data", "d", "--output", "file"],
    ],
)
def test_an_output_that_is_a_file_is_refused(tmp_path: Path, args: list[str]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    at = {a: str(tmp_path / a) for a in ("file", "file/below", "in.jsonl")}
    code, said, _ = headrace(*(at.get(a, a) for a in args), home=tmp_path / "h")
    assert code == 2 and "is a file" in str(said["error"])
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize(
    "args",
    [
        ["generate", "--model", "champion", "--prompt", "\udcd3\udcef"],
        ["decide", "--version", "1", "--promote", "--by", "A", "--why", "\udcff"],
        ["rollback", "--by", "\udcff", "--why", "slower"],
        ["curate", "--input", "x", "--output", "y", "--set", "seed=\udcff"],
    ],
)
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, args: list[str]) -> None:
    code, said, err = headrace(*args, home=tmp_path)
    assert code == 2 and "not UTF-8" in str(said["error"]) and "\\x" in str(said["error"])
    assert "not UTF-8" in err


def test_a_name_can_not_forge_a_line(tmp_path: Path) -> None:
    name = "a\nerror: forged line\x1b[2J\u202egnp"
    (tmp_path / "audit.jsonl").touch()  # a refused call leaves no new folder behind, log included
    code, said, err = headrace(
        "curate", "--input", str(tmp_path / name), "--output", str(tmp_path / "o"), home=tmp_path
    )
    assert code == 3 and name not in str(said["error"])
    for shown in (err, (tmp_path / "logs" / "headrace.log").read_text()):
        assert not any(x.startswith("error: forged") for x in shown.splitlines())
        assert "\x1b" not in shown and "\u202e" not in shown
        assert r"a\nerror: forged line\x1b[2J\u202egnp" in shown


def test_an_empty_state_folder_has_no_litter(tmp_path: Path) -> None:
    code, said, _ = headrace("gc", "--keep", "0", home=tmp_path)
    nothing = {"removed": [], "kept": [], "expired": [], "prefect": {"runs": 0, "events": 0}}
    assert code == 0 and said == {**nothing, "bytes": 0, "dry_run": False}


@pytest.mark.parametrize(
    ("verb", "code"),
    [("gc --keep 0", 2), ("gc --keep 0 --dry-run", 2), ("status", 2), ("env", 2), ("doctor", 2),
     ("rollback --by A --why b", 2), ("deploy", 2), ("up", 2), ("alert --window w.jsonl", 2),
     ("audit verify", 0), ("down", 0)],
)  # fmt: skip
def test_a_shell_that_does_not_name_the_folders_registry_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, code: int
) -> None:
    kept_registry.note(Home(tmp_path / "h"), "https://mlflow.example", own=False)
    (tmp_path / "w.jsonl").write_text('{"text": "x"}\n')
    monkeypatch.chdir(tmp_path)
    found, said, _ = headrace(*verb.split(), home=tmp_path / "h")
    assert found == code, said
    if code:
        text = json.dumps(said)
        assert "export MLFLOW_TRACKING_URI=https://mlflow.example" in text, said
        assert not (tmp_path / "h" / "mlflow.db").exists()


@pytest.mark.server
def test_sigterm_is_a_stop_and_not_a_fault(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    args = ["curate", "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.flows.cli", *args, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "HEADRACE_HOME": str(tmp_path / "h")},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("inventory"):
            break
    os.killpg(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(out.splitlines()[-1])["error"]["message"] == "stopped"


def test_a_command_that_is_told_holds_no_secret() -> None:
    given = ["retrain", "--set", "seed=1", "--set=database=postgresql://u:pw@h", "--set",
             "notify={webhook: https://x/t0ken}", "--window", "a=b"]  # fmt: skip
    said = [
        "retrain",
        "--set",
        "seed=1",
        "--set=database=…",
        "--set",
        "notify=…",
        "--window",
        "a=b",
    ]
    assert without_values(given, SECRET) == said
    assert without_values(given) == [*said[:2], "seed=…", *said[3:]]


def test_the_webhook_stands_in_no_parameter_of_a_flow() -> None:
    call = Call(None, ("notify.webhook=https://x/t0ken",), "local")
    assert call.settings(Shared).notify.webhook is None
    assert call.made is not None and call.made.notify.webhook == "https://x/t0ken"


def test_an_option_wins_over_the_file_and_set_over_both(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("preset: local\nsteps: 7\ncheckpoint: {keep: 5}\nspark: {partitions: 3}\n")
    call = Call(file, ("checkpoint.every=9",), "cluster")
    made = call.settings(PretrainConfig, preset="test", checkpoint={"keep": 4})
    assert (made.preset, made.steps) == ("test", 7)
    assert (made.checkpoint.keep, made.checkpoint.every) == (4, 9)
    assert (made.spark.partitions, made.spark.master) == (3, "spark://127.0.0.1:7077")
    assert Call(file, ("preset=test",), "local").settings(
        PretrainConfig, preset="local"
    ).preset == ("test")
    assert Call(file, (), "local").settings(PretrainConfig).preset == "local"


@pytest.mark.parametrize(
    "args",
    [
        ["run"],
        ["curate", "--input", "x", "--output", "y"],
        ["pretrain", "--data", "x", "--output", "y"],
        ["align", "sft", "--model", "m", "--data", "d", "--output", "o"],
        ["evaluate", "--model", "m"],
        ["gate", "--champion", "a", "--challenger", "b"],
        ["monitor", "--window", "x"],
        ["retrain", "--window", "x"],
    ],
    ids=lambda args: args[0],
)
def test_settings_are_refused_before_a_server_is_started(args: list[str], tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("seed: 1\nspark:\n  mastr: local\n")
    code, answer, err = headrace(*args, "--config", str(file), home=tmp_path)
    error = answer["error"]
    assert isinstance(error, dict) and code == 2
    assert error["message"] == f"--config {file}, line 3, column 3: unknown setting spark.mastr"
    assert error["hint"] == "did you mean spark.master?" and "prefect" not in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("stauts",), 2), (("env",), 0), (("down",), 0), (("doctor",), None), (("status",), 0),
        (("run", "--set", "sede=1"), 2), (("run", "--input", "/none"), 3),
        (("up", "--set", "ports.prefekt=1"), 2),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)  # fmt: skip
@pytest.mark.parametrize("theirs", [False, True])
def test_what_only_looks_or_is_refused_makes_no_state_folder(
    tmp_path: Path, arguments: tuple[str, ...], code: int | None, theirs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if theirs:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    place = tmp_path / "state"
    done, said, _ = headrace(*arguments, home=place)
    assert code is None or done == code, said
    assert not place.exists()


def test_an_address_without_a_scheme_is_a_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlflow.example:5000")
    code, said, _ = headrace("status", home=tmp_path / "state")
    assert code == 2 and "/dev/null" not in json.dumps(said)
    assert "MLFLOW_TRACKING_URI=mlflow.example:5000 is not the address" in json.dumps(said)
