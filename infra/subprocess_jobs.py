"""A job in a separate process: settings in by a JSON file, result or error out by one.

The child dies with its parent, writes progress to the user's screen and everything else to the
log, and can be killed and started again: jobs resume from what they have on disk.

Several processes of one job are ranks on this machine, started side by side: the first one speaks
and answers, and when one fails the others end with it. They meet by a file that only their owner
can open, so that no port waits for whoever comes first, as torchrun's rendezvous would.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue

from headrace.infra import console, faults, storage
from headrace.infra.errors import DeadlineError, Fault, HeadraceError, of_json
from headrace.infra.json_types import Json
from headrace.infra.state import private
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import home

J = TypeVar("J", bound=BaseModel)

DEADLINE = "HEADRACE_DEADLINE"
"""Variable: when a job must have ended, by `time.monotonic()`, which is the machine's."""
_ANSWER = "answer.json"
MEETING = "HEADRACE_RANKS_MEET"
"""Variable: the file by which the ranks of a job find each other."""
_OWNER = "HEADRACE_JOB_OWNER"
"""Variable with the id of the process that started this one."""
_MEETING_FOLDER = ".ranks"
"""Below the job's folder, its owner's alone, and there only while ranks run."""
_MOST_THREADS = 8
"""Threads of one of several processes, at most."""
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
_LOOK_SECONDS = 0.1
"""How often it is looked whether a rank has ended."""


def die_with_parent() -> None:
    """To be run in a child before exec: the kernel ends it when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run_job(module: str, job: BaseModel, folder: Path, processes: int = 1) -> dict[str, JsonValue]:
    """Run `python -m module folder/job.json` and return what its `job_main` returned.

    More than one of `processes` are ranks: each finds RANK, LOCAL_RANK and WORLD_SIZE in its
    environment, as torchrun sets them, and MEETING. Two calls for one folder run one after the
    other: the second finds the first's result there.

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


def take_answer(folder: Path, otherwise: str) -> dict[str, JsonValue]:
    """Return what `job_main` left.

    Raises:
        HeadraceError: the error that the job raised, with its counts; `otherwise`, with code 1,
            where it left nothing.
    """
    path = folder / _ANSWER
    if not path.exists():
        raise HeadraceError(otherwise, f"see the log {console.log_path()}; run it again to resume")
    answer = json.loads(path.read_text())
    if "error" in answer:
        raise of_json(answer["error"])
    return cast("dict[str, JsonValue]", answer)


def end_of(rc: int) -> str:
    """How a process ended that left no answer."""
    return f"was ended by signal {-rc}" if rc < 0 else f"ended with code {rc}"


def _run(module: str, job: BaseModel, folder: Path, processes: int) -> dict[str, JsonValue]:
    file = put_job(job, folder)
    # Said before the child's imports, which are silent for seconds.
    several = f"{processes} processes" if processes > 1 else "the process"
    console.say(f"starting {several} of {module.rsplit('.', 1)[-1]}")
    umask = private.umask_for(folder)
    try:
        if processes > 1:
            how = _ranks(module, file, processes, umask)
        else:
            how = _python(module, file, umask)
    except subprocess.TimeoutExpired:
        raise DeadlineError(
            f"{module} was ended: its time is over", "run it again to resume"
        ) from None
    return take_answer(folder, f"{module} {how}")


def _time_left() -> float | None:
    """Seconds until the deadline, None without one."""
    end = os.environ.get(DEADLINE)
    return max(0.0, float(end) - time.monotonic()) if end else None


@contextmanager
def _started(
    module: str, job: str, umask: int, more: Sequence[Mapping[str, str]]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a process of the job for each of `more` variables; those that still run are killed."""
    shared = {**os.environ, "HEADRACE_HOME": str(home().root), _OWNER: str(os.getpid())}
    with ExitStack() as at_end:
        processes = []
        for variables in more:
            process = subprocess.Popen(  # nosec B603 # no shell; own module, own file
                [sys.executable, "-m", module, job],
                pass_fds=console.progress_fds(),
                preexec_fn=die_with_parent,
                umask=umask,
                env={**shared, **variables},
            )
            at_end.callback(process.wait)
            at_end.callback(process.kill)
            processes.append(process)
        yield processes


def _python(module: str, job: str, umask: int) -> str:
    """Run a job in one process; how it ended."""
    with _started(module, job, umask, [{}]) as (process,):
        return end_of(process.wait(_time_left()))


def _ranks(module: str, job: str, size: int, umask: int) -> str:
    """Run a job in `size` processes; how it ended. When one fails, the others are killed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(_MOST_THREADS, max(1, (cores or 1) // size))
    meeting = Path(job).with_name(_MEETING_FOLDER)
    shutil.rmtree(meeting, ignore_errors=True)  # of a run that was killed
    meeting.mkdir(mode=0o700)
    shared = {
        "WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads),
        MEETING: str(meeting / "store"),
        **loopback(),
    }
    ranks = [{**shared, "RANK": str(r), "LOCAL_RANK": str(r)} for r in range(size)]
    end = None if (left := _time_left()) is None else time.monotonic() + left
    try:
        with _started(module, job, umask, ranks) as processes:
            while True:
                codes = [process.poll() for process in processes]
                failed = [(rank, code) for rank, code in enumerate(codes) if code]
                if failed:
                    # One that was killed is the cause, others fail for want of it.
                    rank, code = min(failed, key=lambda x: x[1])
                    return f"was ended: one of its {size} processes, rank {rank}, {end_of(code)}"
                if None not in codes:
                    return end_of(0)
                if end is not None and time.monotonic() > end:
                    raise subprocess.TimeoutExpired(module, left or 0.0)
                time.sleep(_LOOK_SECONDS)
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def loopback() -> dict[str, str]:
    """Return the variable that keeps the sockets by which ranks exchange tensors on this machine.

    By default gloo listens at the address that the host's name stands for.
    """
    return {"GLOO_SOCKET_IFNAME": _LOOPBACK}


def _end_without_launcher() -> None:
    """End where the process that started this one ended before `die_with_parent` took effect."""
    owner = os.environ.pop(_OWNER, None)
    if owner and os.getppid() != int(owner):
        sys.exit("the launcher has ended")


class JobResult(BaseModel):
    """What a job gives back: typed in its process, JSON at the border."""

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """Return every field that was set, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


def job_main(
    model: type[J], function: Callable[[J], JobResult] | Callable[[J], Mapping[str, JsonValue]]
) -> None:
    """Run a job module's `__main__`: the counterpart of `run_job`."""
    path, rank = Path(sys.argv[1]), int(os.environ.get("RANK") or 0)
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    _end_without_launcher()
    console.open_console(home().logs / "jobs.log", silent=rank > 0)
    answer: Mapping[str, Json | Fault]
    try:
        result = function(model.model_validate_json(path.read_bytes()))
        answer = result.as_json() if isinstance(result, JobResult) else result
        code = 0
    except Exception as e:
        console.trace()
        if several and not isinstance(e, HeadraceError) and "gloo" in str(e):
            sys.exit(1)  # another rank has ended, and that is the cause
        error = faults.explained(e).as_json()
        answer, code = {"error": error}, error["code"]
    failed, said = code != 0, path.with_name(_ANSWER)
    # The first fault is the cause, those of other ranks follow from it.
    follows = several and failed and said.exists()
    if (rank == 0 or failed) and not follows:
        storage.write_json(said, answer)
    sys.exit(code)
