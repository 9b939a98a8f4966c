"""Golden files of the contract: what every verb answers under --json, and the files it leaves.

`HEADRACE_UPDATE_GOLDEN=1` writes them anew; the change of the contract is then in the diff.
"""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from headrace.flows.cli import cli

Command = Callable[..., tuple[int, dict[str, Any], str]]

COLD = {
    "alert-outbox": "alert --window {text}",
    "audit-verify-empty": "audit verify",
    "audit-show-empty": "audit show",
    "completion": "completion bash",
    "doctor": "doctor",
    "down-nothing": "down",
    "env-no-stack": "env",
    "gc-empty": "gc --keep 0",
    "settings": "settings tokenize",
    "plan": "plan --preset local --gpus 8 --gpu h100",
    "status-empty": "status",
    "error-align-later": "align dpo",
    "error-audit-edited": "audit verify",
    "error-input": "curate --input {gone} --output {out}",
    "error-no-champion": "retrain --window {text}",
    "error-no-verb": "stauts",
    "error-replay": "replay",
    "error-setting": "curate --input {text} --output {out} --set sede=1",
    "error-too-little": "curate --input {text} --output {file}",
}
"""Verbs on a state folder without a model."""


@pytest.fixture
def words(tmp_path: Path) -> dict[str, Path]:
    """Paths that the arguments of a case name."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "text.jsonl").write_text('{"text": "x"}\n')
    places = {name: tmp_path / name for name in ("gone", "out", "file", "h")}
    return {**places, "text": tmp_path / "text.jsonl"}


def filled(line: str, places: dict[str, Path]) -> list[str]:
    return [word.format(**places) for word in line.split()]


@pytest.mark.parametrize("name", COLD)
def test_answers_without_a_model(
    name: str, words: dict[str, Path], headrace: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = words["h"]
    monkeypatch.setenv("HEADRACE_HOME", str(home))
    home.mkdir(mode=0o700)
    if name == "error-audit-edited":
        (home / "audit.jsonl").write_text('{"number": 1}\n')
    args = filled(COLD[name], words)
    if name == "error-no-verb":  # refused by `main`, before a verb runs
        code, answer, _ = headrace(home, *args)
    else:
        done = CliRunner().invoke(cli, [*args, "--json"])
        code, answer = done.exit_code, json.loads(done.stdout.splitlines()[-1])
    places = {home: "home", words["text"].parent: "root"}
    value: dict[str, Any] = {"code": code, "answer": answer}
    if name == "doctor":
        assert code == (0 if answer["ok"] else 2)
        checks = [{**c, "ok": True} for c in answer["checks"]]
        value = {"answer": {**answer, "ok": True, "checks": checks}}
    if name == "alert-outbox":
        (event,) = (home / "outbox").glob("*.json")
        value["event"] = json.loads(event.read_text())
    golden.check(name, value, places, floats=name == "settings")


WARM = {
    "audit-show": "audit show",
    "audit-verify": "audit verify",
    "evaluate": "evaluate --model champion",
    "gate": "gate --champion champion --challenger {export}",
    "gc-dry": "gc --keep 0 --dry-run",
    "generate": "generate --model champion --prompt court",
    "monitor": "monitor --window {window}",
    "status": "status",
    "validate": "validate --release {release}",
}
"""Verbs that look at the state folder of the finished chain."""


@pytest.fixture(scope="module")
def places(chain: Any) -> dict[Path, str]:
    return {
        chain["home"]: "home",
        chain["untouched"]: "home",
        chain["window"].parent: "root",
    }


def test_the_answer_of_the_chain(chain: Any, places: dict[Path, str]) -> None:
    golden.check("run", {"code": chain["code"], "answer": chain["answer"]}, places)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "gate" else ()) for n in WARM]
)
def test_answers_on_a_finished_chain(
    name: str, chain: Any, looked: Command, places: dict[Path, str]
) -> None:
    answer = chain["answer"]
    given = {"export": answer["export"], "release": answer["release"], "window": chain["window"]}
    code, said, _ = looked(*filled(WARM[name], given))
    if name == "gc-dry":  # the tests before it leave measurements
        kept = {golden.text(k, {}) for k in said["kept"] if k in chain["made"]}
        said = {**said, "kept": sorted(kept), "removed": []}
    golden.check(name, {"code": code, "answer": said}, places)


def _pairs(folder: Path) -> dict[str, Path]:
    """Alignment data of three kinds."""
    row = {"prompt": "What is a court?", "response": "A court decides.",
           "chosen": "A court decides.", "rejected": "court court court"}  # fmt: skip
    kinds = {"sft": ("prompt", "response"), "reward": ("prompt", "chosen", "rejected"),
             "ppo": ("prompt",)}  # fmt: skip
    for kind, keys in kinds.items():
        lines = (json.dumps({k: f"{row[k]} {i}" for k in keys}) for i in range(200))
        (folder / f"{kind}.jsonl").write_text("\n".join(lines))
    return {kind: folder / f"{kind}.jsonl" for kind in kinds}


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(chain: Any, headrace: Command, places: dict[Path, str], tmp_path: Path) -> Ask:
    """Ask a verb that succeeds, and hold its answer against the golden file of a name."""

    def asked(name: str, *args: str) -> dict[str, Any]:
        code, answer, err = headrace(chain["untouched"], *args)
        assert code == 0, err[-2000:]
        at = {**places, tmp_path: "out"}
        golden.check(name, {"code": code, "answer": answer}, at)
        return answer

    return asked


@pytest.mark.slow
def test_answers_from_text_to_a_model(chain: Any, ask: Ask, tmp_path: Path) -> None:
    corpus, tokens, base = (str(tmp_path / name) for name in ("corpus", "tokens", "base"))
    release = ask("curate", "curate", "--input", str(chain["window"]), "--output", corpus)
    ask("tokenize", "tokenize", "--release", release["release"], "--output", tokens)
    few = ("--preset", "test", "--set", "steps=2")
    ask("pretrain", "pretrain", "--data", tokens, "--output", base, *few)
    manifest = json.loads((tmp_path / "tokens" / "manifest.json").read_text())
    golden.check("files-tokens-manifest", manifest, {chain["window"].parent: "root"})


@pytest.mark.slow
def test_answers_of_alignment(chain: Any, ask: Ask, tmp_path: Path) -> None:
    data, model = _pairs(tmp_path), chain["answer"]["export"]
    sets = {"sft": ("sft.steps=2",), "reward": ("reward.steps=2",),
            "ppo": ("ppo.iterations=1", "ppo.rollouts=16")}  # fmt: skip
    exports: dict[str, str] = {}
    for stage in sets:
        args = ["--model", model, "--data", str(data[stage]), "--output", str(tmp_path / stage)]
        if stage == "ppo":
            args += ["--reward", exports["reward"]]
        few = [word for value in sets[stage] for word in ("--set", value)]
        exports[stage] = ask(f"align-{stage}", "align", stage, *args, *few)["export"]


def test_answers_of_a_persons_decisions(
    chain: Any, headrace: Command, places: dict[Path, str], tmp_path: Path
) -> None:
    """After what looks: they move the champion of the copy."""
    at = {**places, tmp_path: "out", Path(os.environ["HEADRACE_AUDIT_KEY_FILE"]): "audit key"}
    ask = functools.partial(headrace, chain["untouched"])
    person = ("--by", "A", "--why", "b")
    for name, args in {
        "decide": ("decide", "--version", "1", "--promote", *person),
        "rollback": ("rollback", *person),
        "backup": ("backup", str(tmp_path / "backups")),
        "restore-check": ("restore", str(tmp_path / "backups"), "--check"),
    }.items():
        code, answer, err = ask(*args)
        assert code == 0, err[-2000:]
        golden.check(name, {"code": code, "answer": answer}, at)
    code, answer, err = headrace(tmp_path / "new", "restore", str(tmp_path / "backups"))
    golden.check("restore", {"code": code, "answer": answer}, {**at, tmp_path / "new": "new"})


@pytest.mark.slow
def test_answers_of_a_retraining(
    chain: Any, headrace: Command, state_copy: Callable[[Path], Path], places: dict[Path, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    home = state_copy(tmp_path / "home")
    small = ["--set", "ewc.material.tokens=40000", *chain["sets"][-2:]]
    code, answer, _ = headrace(home, "retrain", "--force", "--window", str(chain["other"]), *small)
    golden.check("retrain", {"code": code, "answer": answer}, {**places, home: "home"})


def _schema(folder: Path) -> dict[str, str]:
    """Columns and types of the Parquet files below a folder, without partitions."""
    if folder.is_file():
        found: pa.Schema = pq.read_schema(folder)
    else:
        found = ds.dataset(folder, format="parquet").schema
    return {field.name: str(field.type) for field in found}


def test_the_files_of_a_release(chain: Any, places: dict[Path, str]) -> None:
    release = Path(chain["answer"]["release"])
    golden.check("files-manifest", json.loads((release / "manifest.json").read_text()), places)
    golden.check("files-latest", json.loads((release.parents[1] / "latest.json").read_text()),
                 places)  # fmt: skip
    parts = ("documents", "rejected", "ledger.parquet")
    golden.check("files-schemas", {part: _schema(release / part) for part in parts}, places)
    rows = pq.read_table(release / "ledger.parquet").to_pylist()
    golden.check("files-ledger", rows, places)


def test_the_files_of_a_run(chain: Any, places: dict[Path, str]) -> None:
    """metrics.jsonl has a line per step with the same keys; export and decision their files."""
    found: dict[str, Any] = {}
    made = [chain["home"] / path for path in sorted(chain["made"]) if path.startswith("runs/")]
    for metrics in (path for path in made if path.name == "metrics.jsonl"):
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        stage = golden.text(metrics.parent.name, {}).removesuffix("-<id>")
        found[stage] = {
            "keys": sorted({key for line in lines for key in line}),
            "steps": [line["step"] for line in lines][:: max(1, len(lines) - 1)],
            "export": sorted(p.name for p in metrics.parent.glob("export/*")),
        }
    golden.check("files-runs", found, places)
    decisions = {
        golden.text(str(p.relative_to(chain["home"])), {}): json.loads(p.read_text())
        for p in made
        if p.match("decision*.json")
    }
    golden.check("files-decisions", decisions, places)
