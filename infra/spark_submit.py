"""A step on a cluster by spark-submit: settings in by a JSON file, result or error out by one.

The driver runs in client mode on this machine and ends with the process that submitted it, also
after kill -9. Its standard streams carry what Java and the libraries say and go to the log; its
lines for the user come through a named pipe, since Java hands no other descriptor on to Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from headrace.infra import console, spark, storage
from headrace.infra.errors import BY_CODE, HeadraceError
from headrace.infra.home import home
from headrace.infra.lineage import digest
from headrace.infra.process import die_with_parent, job_main
from headrace.infra.settings import SparkSettings

J = TypeVar("J", bound=BaseModel)
_PIPE = "progress"


def folder_of(main: str, job: BaseModel) -> Path:
    """Where `job.json` and `answer.json` of a submission are: the same job has the same folder."""
    name = Path(main).stem
    return home().root / "spark" / "steps" / f"{name}-{digest(job.model_dump(mode='json'))[:12]}"


def run(main: str, job: BaseModel, settings: SparkSettings) -> dict[str, Any]:
    """Submit the Python file `main`, which calls `submitted`; what its function returned.

    Args:
        main: path of the file.
        job: what it is to do.
        settings: the cluster, and what driver and executors may use.

    Raises:
        UsageError: the master doesn't answer.
        HeadraceError: the error that the step raised, with its counts; code 1 where it was killed.
    """
    spark.check_master(settings.master)
    folder = folder_of(main, job)
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    storage.write_bytes(folder / "job.json", job.model_dump_json(indent=1).encode())
    console.say(f"spark-submit to {settings.master}")
    with console.listening(folder / _PIPE):
        rc = subprocess.run(
            [
                spark.program("spark-submit"),
                *("--master", settings.master, "--deploy-mode", "client"),
                *("--driver-memory", settings.driver_memory),
                *("--driver-java-options", spark.driver_options()),
                *(main, str(folder / "job.json")),
            ],
            preexec_fn=die_with_parent,
            stdin=subprocess.DEVNULL,
            # The folder of `main` is a package's inside: none of its modules is one by itself.
            env={
                **os.environ,
                **spark.environment(),
                "HEADRACE_HOME": str(home().root),
                "PYTHONSAFEPATH": "1",
            },
            check=False,
        ).returncode
    if not answer.exists():
        how = f"was ended by signal {-rc}" if rc < 0 else f"ended with code {rc}"
        raise HeadraceError(
            f"spark-submit {how}", f"see the log {console.log_path()}; run it again to resume"
        )
    said: dict[str, Any] = json.loads(answer.read_text())
    if "error" in said:
        e = said["error"]
        error = BY_CODE.get(e["code"], HeadraceError)
        raise error(e["message"], e["hint"], e.get("counts"))
    return said


def submitted(model: type[J], function: Callable[[J], dict[str, Any]]) -> None:
    """The `__main__` of a file that is submitted: the counterpart of `run`."""
    die_with_parent()
    # Where all were killed before that line, nobody listens, and this ends here.
    console.speak_through(Path(sys.argv[1]).with_name(_PIPE))
    job_main(model, lambda job: _with_counts(function, job))


def _with_counts(function: Callable[[J], dict[str, Any]], job: J) -> dict[str, Any]:
    try:
        return function(job)
    except HeadraceError as e:
        return {"error": {"code": e.code, "message": e.message, "hint": e.hint, "counts": e.counts}}
