"""A backup made while the stack is up and works: another stack lives on what it holds."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(1800)]

LOAD = """
import mlflow
pipeline = mlflow.transformers.load_model("models:/headrace@champion", return_type="components")
print(sum(p.numel() for p in pipeline["model"].parameters()))
"""
LOG = """
import sys, mlflow
mlflow.set_experiment("backup")
with mlflow.start_run() as run:
    print(run.info.run_id, flush=True)
    step = 0
    while True:
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        step += 1
        print(step, flush=True)
"""


def asked(variables: dict[str, str], code: str) -> str:
    """What a program of MLflow's own client prints, on the server that `headrace env` names."""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **variables},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_a_live_backup_lives_elsewhere(
    open_doors: Callable[..., Any],
    state_copy: Callable[[Path], Path],
    headrace: Callable[..., Any],
    tmp_path: Path,
) -> None:
    home, new, target = tmp_path / "home", tmp_path / "new", tmp_path / "backups"
    state_copy(home)
    with open_doors(home) as doors:
        ids = doors.deploy()
        champion = doors.champion()
        run = doors.request("POST", f"/deployments/{ids['evaluate/on-demand']}/create_flow_run", {})
        env = {**os.environ, **doors.variables}
        with subprocess.Popen([sys.executable, "-c", LOG], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as writer:  # fmt: skip
            assert writer.stdout is not None
            logged = writer.stdout.readline().strip()
            seen = [int(writer.stdout.readline()) for _ in range(20)]
            reader = threading.Thread(target=lambda: seen.extend(map(int, writer.stdout)))
            reader.start()
            try:
                before = seen[-1]
                made = doors.run("backup", str(target))
                after = seen[-1]
                again = doors.run("backup", str(target))
            finally:
                writer.kill()
                reader.join()
        assert after > before, "figures were written while the copy was made"
        assert made["copied"] == made["files"] and made["outside"] == []
        assert again["copied_bytes"] < made["copied_bytes"] / 2
        # The stack that was copied has noticed nothing.
        assert doors.end_of(run["id"])["state"]["type"] == "COMPLETED"
        secrets = json.loads((home / "stack" / "secrets.json").read_text()).values()
    for path in target.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file() and path.suffix == ".json":
            content = path.read_text(errors="replace")
            assert not any(secret in content for secret in secrets), path
    home.rename(tmp_path / "lost")
    code, answer, err = headrace(new, "restore", made["backup"])
    assert code == 0 and answer["home"] == str(new), err
    with open_doors(new) as doors:
        status = doors.run("status")
        assert status["champion"]["version"] == champion and status["stack_fault"] is None
        assert doors.run("audit", "verify")["lines"] == made["audit_lines"]
        assert doors.run("evaluate", "--model", "champion")["metrics"]["bits_per_byte"]["n"] > 0
        assert int(asked(doors.variables, LOAD)) > 1000
        history = f"import mlflow; c = mlflow.MlflowClient(); " \
                  f"print(len(c.get_metric_history({logged!r}, 'loss')))"  # fmt: skip
        assert before <= int(asked(doors.variables, history))
        # What was at work when the copy was made begins again, under the same id.
        assert doors.end_of(run["id"])["state"]["type"] == "COMPLETED"
        # The process of that run is at work for a moment after the server has its last state.
        end = time.monotonic() + 60
        while (swept := doors.headrace(new, "gc", "--keep", "100"))[0] and time.monotonic() < end:
            time.sleep(1)
        assert swept[0] == 0 and swept[1]["removed"] == [], swept[2]
