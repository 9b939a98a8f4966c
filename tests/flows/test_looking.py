"""Help, slips and verbs that only look: quick, and they leave nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from headrace.flows.cli import cli
from headrace.flows.cli_runtime import Verb
from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.setting_tree import leaves
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration import settings as verbs
from headrace.tasks.configuration.kept_settings import Kept
from headrace.tasks.configuration.listed_settings import MODELS, model_of
from headrace.tasks.configuration.settings import DeployConfig

HEAVY = ("mlflow", "numba", "numpy", "pandas", "prefect", "pyarrow", "pyspark", "scipy", "torch")
ASKED = """
import json, os, sys
from headrace.flows.cli import main
out = os.dup(1)
loaded = {}
for call in json.loads(sys.argv[1]):
    try:
        main(call)
        code = 0
    except SystemExit as done:
        code = done.code
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    loaded[" ".join(call)] = [code, heavy]
os.write(out, b"\\n" + json.dumps(loaded).encode())
"""
NEEDS: dict[str, list[str]] = {
    "curate": ["--input", "i", "--output", "o"],
    "validate": ["--release", "r"],
    "tokenize": ["--release", "r", "--output", "o"],
    "pretrain": ["--data", "d", "--output", "o"],
    "plan": ["--preset", "local", "--gpus", "1", "--gpu", "h100"],
    "align": ["sft", "--model", "m", "--data", "d", "--output", "o"],
    "generate": ["--model", "m", "--prompt", "p"],
    "evaluate": ["--model", "m"],
    "gate": ["--champion", "a", "--challenger", "b"],
    "monitor": ["--window", "w"],
    "retrain": ["--window", "w"],
    "alert": ["--window", "w"],
    "decide": ["--version", "1", "--promote", "--by", "a", "--why", "b"],
    "rollback": ["--by", "a", "--why", "b"],
    "gc": ["--keep", "1"],
    "audit": ["verify"],
    "settings": ["curate"],
    "backup": ["/none/backups"],
    "restore": ["/none/backups"],
}
WITHOUT_SETTINGS = ("replay", "completion", "down")
VERBS = [name for name in cli.commands if name not in WITHOUT_SETTINGS]


def headrace(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HEADRACE_HOME": str(home)}
    command = [sys.executable, "-m", "headrace.flows.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def asked(calls: list[list[str]], home: Path) -> dict[str, Any]:
    """{call: [exit code, heavy modules that it had imported]}, of calls in one process."""
    command = [sys.executable, "-c", ASKED, json.dumps(calls), json.dumps(HEAVY)]
    done = subprocess.run(
        command, env={**os.environ, "HEADRACE_HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    calls = [["--help"], ["--version"], *([name, "--help"] for name in cli.commands)]
    for call, (code, heavy) in asked(calls, tmp_path / "home").items():
        assert code in (0, None) and heavy == [], call
    assert not (tmp_path / "home").exists()


def test_a_slip_is_reported_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    calls = [[name, *NEEDS.get(name, []), "--set", "sede=3"] for name in VERBS]
    calls += [["curate"], ["nope"], ["run", "--nope"], ["run", "--config", "/none.yaml"],
              ["gc", "--keep", "x"], ["audit", "burn"], ["settings", "nope"],
              ["run", "--input", "a", "--release", "b"]]  # fmt: skip
    found = asked(calls, tmp_path / "home")
    assert {call: answer for call, answer in found.items() if answer != [2, []]} == {}


def test_text_that_is_not_there_is_reported_before_anything_heavy_is_imported(
    tmp_path: Path,
) -> None:
    here, gone = tmp_path / "a.jsonl", str(tmp_path / "none.jsonl")
    here.write_text('{"text": "x"}\n')
    calls = [
        ["run", "--input", str(here), "--input", gone],
        ["run", "--input", str(here), "--window", gone],
        ["curate", "--input", f"{tmp_path}/*.txt", "--output", str(tmp_path / "o")],
        ["monitor", "--window", gone],
        ["monitor", "--window", str(here), "--reference", gone],
        ["retrain", "--window", gone],
    ]
    found = asked(calls, tmp_path / "home")
    assert {call: answer for call, answer in found.items() if answer != [3, []]} == {}


def test_looking_in_a_folder_without_state_leaves_nothing(tmp_path: Path) -> None:
    looking = [n for n, c in cli.commands.items() if isinstance(c, Verb) and c.reads]
    assert {"status", "settings", "audit", "plan", "completion"} <= set(looking)
    arguments = {**NEEDS, "completion": ["bash"], "status": []}
    for there in (False, True):
        home = tmp_path / f"home-{there}"
        if there:
            home.mkdir()
        for name in looking:
            done = headrace(name, *arguments.get(name, []), home=home)
            assert done.returncode in (0, 2, 3), (name, done.stderr)
            assert not list(home.glob("**/*")) and home.exists() == there, name
        status = json.loads(headrace("status", "--json", home=home).stdout.splitlines()[-1])
        assert status["champion"] is None and status["alerts"] == [] and status["disk"]


def test_each_model_of_settings_is_listed_under_its_verb() -> None:
    made = {v for n, v in vars(verbs).items() if n.endswith("Config")}
    assert set(MODELS.values()) == made and set(MODELS) <= set(cli.commands)


@pytest.mark.parametrize("verb", [None, *sorted(MODELS)])
def test_settings_lists_every_leaf_with_its_effective_default(
    verb: str | None, tmp_path: Path
) -> None:
    args = ["settings", *([verb] if verb else []), "--json"]
    rows = json.loads(headrace(*args, home=tmp_path / "home").stdout.splitlines()[-1])["settings"]
    expected = {k for v in ([verb] if verb else ["run", "deploy", "up"])
                for k, _, _ in leaves(model_of(v))}  # fmt: skip
    assert [r["key"] for r in rows] == list(dict.fromkeys(r["key"] for r in rows))
    assert {r["key"] for r in rows} == expected
    for row in rows:
        assert len(row["meaning"]) > 8 and row["kind"], row["key"]
        if row["key"] not in ("pretrain.processes",) and not row["key"].startswith("spark."):
            assert row["value"] == row["default"], row["key"]


def test_settings_shows_what_is_given_and_what_deploy_keeps(tmp_path: Path) -> None:
    done = headrace("settings", "curate", "--set", "bias.threshold=0.2", home=tmp_path / "h")
    assert "bias.threshold = 0.2   (a number from 0 to 1, default 0.3)" in done.stdout
    given = [Config("--set", {"seed": 5, "notify": {"webhook": "https://x.org/t0ken"}})]
    kept_settings.keep(Kept(), given, None, DeployConfig.model_validate(given[0].data))
    own = Path(os.environ["HEADRACE_HOME"])
    done = headrace("settings", "deploy", home=own)
    assert "seed = 5   (" in done.stdout and "pretrain.processes = 2   (" in done.stdout
    assert "t0ken" not in done.stdout and "notify.webhook = …" in done.stdout
    assert done.returncode == 0, yaml.safe_dump(done.stderr)


def completed(words: str, shell: str = "bash") -> list[str]:
    env = {**os.environ, "_HEADRACE_COMPLETE": f"{shell}_complete", "COMP_WORDS": words,
           "COMP_CWORD": str(len(words.split(" ")) - 1)}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", "from headrace.flows.cli import main; main()"],
                          env=env, capture_output=True, text=True)  # fmt: skip
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_a_shell_completes_verbs_options_and_keys() -> None:
    assert "curate" in completed("headrace cur")
    assert "--window" in completed("headrace retrain --w")
    assert completed("headrace curate --set semantics.t") == ["semantics.threshold="]
    assert completed("headrace settings pre") == ["pretrain"]


def test_a_shell_completes_paths_wherever_a_place_is_asked_for() -> None:
    """click's type decides: `file` has bash, zsh and fish list files."""
    kinds = {"URI", "FILE", "URI|ALIAS", "NAME|FILE"}
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=name)
        for option in command.params:
            if option.metavar in kinds:
                items = option.shell_complete(context, "cha")
                assert "file" in {item.type for item in items}, (name, option.name)
                names = [item.value for item in items if item.type == "plain"]
                aliases = ["champion", "challenger"] if option.metavar == "URI|ALIAS" else []
                assert names == aliases, (name, option.name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell_is_there(shell: str, tmp_path: Path) -> None:
    done = headrace("completion", shell, home=tmp_path / "home")
    assert done.returncode == 0 and "_HEADRACE_COMPLETE" in done.stdout


def test_output_into_a_pipe_that_closes_is_no_fault(tmp_path: Path) -> None:
    command = f"{sys.executable} -m headrace.flows.cli settings | head -1"
    env = {**os.environ, "HEADRACE_HOME": str(tmp_path / "home")}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("──")


def test_a_verb_that_looks_ends_soon_where_mlflow_is_away(tmp_path: Path) -> None:
    """MLflow's client tries seven times, four minutes a request, unless it is limited."""
    env = {
        **os.environ,
        "HEADRACE_HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    env.pop("MLFLOW_HTTP_REQUEST_MAX_RETRIES", None)
    command = [sys.executable, "-m", "headrace.flows.cli", "status"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert "Traceback" not in done.stderr
