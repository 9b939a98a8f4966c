"""A job in a process of its own: settings in by a JSON file, result or error out by one.

The child dies with its parent, writes progress to the user's screen and everything else to the
log, and can be killed and started again: jobs resume from what they have on disk.

Several processes of one job are ranks that torchrun starts: the first one speaks and answers, and
when one fails the others end with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
from pydantic import BaseModel

from headrace.infra import console, faults, private, storage
from headrace.infra.errors import DeadlineError, HeadraceError, of_json
from headrace.infra.home import home
from headrace.infra.lock import exclusive

J = TypeVar("J", bound=BaseModel)

DEADLINE = "HEADRACE_DEADLINE"
"""Variable: when a job must have ended, by `time.monotonic()`, which is the machine's."""
_ANSWER = "answer.json"
_OWNER = "HEADRACE_JOB_OWNER"
"""Variable with the id of the process that started torchrun."""
_MOST_THREADS = 8
"""Of one of several processes; torchrun would give each one thread."""


def die_with_parent() -> None:
    """To be run in a child before exec: the kernel ends it when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run_job(module: str, job: BaseModel, folder: Path, processes: int = 1) -> dict[str, Any]:
    """Run `python -m module folder/job.json` and return what its `job_main` returned.

    With more than one of `processes` torchrun runs as many on this machine. Two calls for one
    folder run one after the other: the second finds the first's result there.

    Raises:
        HeadraceError: see `take_answer`.
        DeadlineError: its time was over (DEADLINE); what it has on disk stays.
    """
    private.make_folder(folder)
    with exclusive(folder / ".lock", f"waiting for another process that works in {folder}"):
        return _run(module, job, folder, processes)


def put_job(job: BaseModel, folder: Path) -> str:
    """Write down what `job_main` is to do, and forget an earlier answer; the file's path."""
    (folder / _ANSWER).unlink(missing_ok=True)
    storage.write_bytes(folder / "job.json", job.model_dump_json(indent=1).encode())
    return str(folder / "job.json")


def take_answer(folder: Path, otherwise: str) -> dict[str, Any]:
    """What `job_main` left.

    Raises:
        HeadraceError: the error that the job raised, with its counts; `otherwise`, with code 1,
            where it left nothing.
    """
    path = folder / _ANSWER
    if not path.exists():
        raise HeadraceError(otherwise, f"see the log {console.log_path()}; run it again to resume")
    said: dict[str, Any] = json.loads(path.read_text())
    if "error" in said:
        raise of_json(said["error"])
    return said


def end_of(rc: int) -> str:
    """How a process ended that left no answer."""
    return f"was ended by signal {-rc}" if rc < 0 else f"ended with code {rc}"


def _run(module: str, job: BaseModel, folder: Path, processes: int) -> dict[str, Any]:
    file = put_job(job, folder)
    # Said before the child's imports, which are silent for seconds.
    several = f"{processes} processes" if processes > 1 else "the process"
    console.say(f"starting {several} of {module.rsplit('.', 1)[-1]}")
    try:
        umask = private.umask_for(folder)
        if processes > 1:
            rc = _torchrun(module, file, processes, umask)
        else:
            rc = _python(module, file, umask)
    except subprocess.TimeoutExpired:
        raise DeadlineError(
            f"{module} was ended: its time is over", "run it again to resume"
        ) from None
    how = end_of(rc)
    if processes > 1 and rc > 0:  # torchrun's own code says nothing
        how = f"was ended: one of its {processes} processes was killed or failed"
    return take_answer(folder, f"{module} {how}")


def _time_left() -> float | None:
    """Seconds until the deadline, None without one."""
    end = os.environ.get(DEADLINE)
    return max(0.0, float(end) - time.monotonic()) if end else None


def _python(module: str, job: str, umask: int) -> int:
    return subprocess.run(  # nosec B603 # no shell; own module, own file
        [sys.executable, "-m", module, job],
        pass_fds=console.progress_fds(),
        preexec_fn=die_with_parent,
        umask=umask,
        env={**os.environ, "HEADRACE_HOME": str(home().root)},
        check=False,
        timeout=_time_left(),
    ).returncode


def _torchrun(module: str, job: str, processes: int, umask: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(_MOST_THREADS, max(1, (cores or 1) // processes))
    env = {"OMP_NUM_THREADS": str(threads), **os.environ, "HEADRACE_HOME": str(home().root)}
    env[_OWNER] = str(os.getpid())
    if sys.platform == "linux":
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Ranks get no more than the three standard streams from torchrun: progress goes by the first.
    progress = next(iter(console.progress_fds()), None)
    if progress is not None:
        env[console.PROGRESS_FD] = "0"
    # Standalone: the ranks meet at a free port of this machine. No log folder: they write to ours.
    torchrun = ["torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    torchrun += [f"--nproc-per-node={processes}", f"--log-dir={os.devnull}", "-m"]
    return subprocess.run(  # nosec B603 # no shell; own module, own file
        [sys.executable, "-m", *torchrun, module, job],
        stdin=progress,
        preexec_fn=die_with_parent,
        umask=umask,
        env=env,
        check=False,
        timeout=_time_left(),
    ).returncode


def _die_with_launcher() -> None:
    """What `die_with_parent` is to a child, to a rank: torchrun starts it without."""
    die_with_parent()
    owner = os.environ.get(_OWNER)
    # torchrun may have ended before; then another process is the parent by now.
    if owner and psutil.Process(os.getppid()).ppid() != int(owner):
        sys.exit("the launcher has ended")


def job_main(model: type[J], function: Callable[[J], dict[str, Any]]) -> None:
    """The `__main__` of a job's module: the counterpart of `run_job`."""
    path, rank = Path(sys.argv[1]), int(os.environ.get("RANK") or 0)
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    if several:
        _die_with_launcher()
    console.open_console(home().logs / "jobs.log", silent=rank > 0)
    try:
        answer = function(model.model_validate_json(path.read_bytes()))
    except Exception as e:
        console.trace()
        if several and not isinstance(e, HeadraceError) and "gloo" in str(e):
            sys.exit(1)  # another rank has ended, and that is the cause
        answer = {"error": faults.explained(e).as_json()}
    failed, said = "error" in answer, path.with_name(_ANSWER)
    # The first fault is the cause, those of other ranks follow from it.
    follows = several and failed and said.exists()
    if (rank == 0 or failed) and not follows:
        storage.write_json(said, answer)
    sys.exit(answer.get("error", {}).get("code", 0))
