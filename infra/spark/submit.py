"""A step on a cluster by spark-submit: settings in by a JSON file, result or error out by one.

The driver runs in client mode on this machine and ends with the process that submitted it, also
after kill -9. Its standard streams carry what Java and the libraries say and go to the log; its
lines for the user come through a named pipe, since Java hands no other descriptor on to Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, JsonValue

from headrace.infra import console
from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.lineage import digest
from headrace.infra.spark import auth, session
from headrace.infra.state import private
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import die_with_parent, end_of, job_main, put_job, take_answer

J = TypeVar("J", bound=BaseModel)
_PIPE = "progress"


def folder_of(main: str, job: BaseModel) -> Path:
    """Where `job.json` and `answer.json` of a submission are: the same job has the same folder."""
    name = Path(main).stem
    return home().root / "spark" / "steps" / f"{name}-{digest(job.model_dump(mode='json'))[:12]}"


def run(main: str, job: BaseModel, settings: SparkSettings) -> dict[str, JsonValue]:
    """Submit the Python file `main`, which calls `submitted`; what its function returned.

    Args:
        main: path of the file.
        job: what it is to do.
        settings: the cluster, and what driver and executors may use.

    Raises:
        UsageError: the master doesn't answer.
        HeadraceError: see `process.take_answer`.
    """
    session.check_master(settings.master)
    folder = folder_of(main, job)
    private.make_folder(folder)
    file = put_job(job, folder)
    console.say(f"spark-submit to {settings.master}")
    with console.listening(folder / _PIPE):
        rc = subprocess.run(  # nosec B603 # no shell; the master was checked
            [
                session.program("spark-submit"),
                *("--master", settings.master, "--deploy-mode", "client"),
                *("--driver-memory", settings.driver_memory),
                *("--driver-java-options", session.driver_options()),
                *(main, file),
            ],
            preexec_fn=die_with_parent,
            stdin=subprocess.DEVNULL,
            # spark-submit puts main's folder on sys.path; its modules only import as part of
            # the package.
            env={
                **os.environ,
                **session.environment(),
                **auth.client_variables(home(), settings.master),
                "HEADRACE_HOME": str(home().root),
                "PYTHONSAFEPATH": "1",
            },
            check=False,
        ).returncode
    return take_answer(folder, f"spark-submit {end_of(rc)}")


def submitted(model: type[J], function: Callable[[J], Mapping[str, JsonValue]]) -> None:
    """Return the `__main__` of a file that is submitted: the counterpart of `run`."""
    die_with_parent()
    # If the parent died already, opening the pipe fails and the job exits.
    console.speak_through(Path(sys.argv[1]).with_name(_PIPE))
    job_main(model, function)
