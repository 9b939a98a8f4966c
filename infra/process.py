"""A job in a process of its own: settings in by a JSON file, result or error out by one.

The child dies with its parent, writes progress to the user's screen and everything else to the
log, and can be killed and started again: jobs resume from what they have on disk.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from headrace.infra import console, storage
from headrace.infra.errors import BY_CODE, HeadraceError
from headrace.infra.home import home

J = TypeVar("J", bound=BaseModel)

DEADLINE = "HEADRACE_DEADLINE"
"""Environment variable: when a job must have ended, in seconds since 1970."""


def die_with_parent() -> None:
    """To be run in a child before exec: the kernel ends it when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run_job(module: str, job: BaseModel, folder: Path) -> dict[str, Any]:
    """Run `python -m module folder/job.json` and return what its `job_main` returned.

    Raises:
        HeadraceError: the error that the job raised, or code 1 where it was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    storage.write_bytes(folder / "job.json", job.model_dump_json(indent=1).encode())
    # Said before the child's imports, which are silent for seconds.
    console.say(f"starting the process of {module.rsplit('.', 1)[-1]}")
    rc = subprocess.run(
        [sys.executable, "-m", module, str(folder / "job.json")],
        pass_fds=console.progress_fds(),
        preexec_fn=die_with_parent,
        env={**os.environ, "HEADRACE_HOME": str(home().root)},
        check=False,
    ).returncode
    if not answer.exists():
        how = f"was ended by signal {-rc}" if rc < 0 else f"ended with code {rc}"
        raise HeadraceError(
            f"{module} {how}", f"see the log {console.log_path()}; run it again to resume"
        )
    said: dict[str, Any] = json.loads(answer.read_text())
    if "error" in said:
        e = said["error"]
        raise BY_CODE.get(e["code"], HeadraceError)(e["message"], e["hint"])
    return said


def job_main(model: type[J], function: Callable[[J], dict[str, Any]]) -> None:
    """The `__main__` of a job's module: the counterpart of `run_job`."""
    path = Path(sys.argv[1])
    console.open_console(home().logs / "jobs.log")
    try:
        answer = function(model.model_validate_json(path.read_bytes()))
    except HeadraceError as e:
        answer = {"error": {"code": e.code, "message": e.message, "hint": e.hint}}
    except Exception as e:
        traceback.print_exc()
        first = (str(e).splitlines() or [""])[0]
        answer = {
            "error": {
                "code": 1,
                "message": f"{type(e).__name__}: {first}",
                "hint": f"see the log {console.log_path()}",
            }
        }
    storage.write_json(path.with_name("answer.json"), answer)
    sys.exit(answer.get("error", {}).get("code", 0))
