"""Jobs in processes of their own: answers, errors, and what happens when one is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from as_module import as_module
from pydantic import JsonValue

from headrace.infra import console
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import DeadlineError, HeadraceError, InputError
from headrace.infra.subprocess_jobs import DEADLINE, MEETING, job_main, run_job


class Job(Settings):
    how: str
    rank: int = 0
    """The one that does so; others wait for it, as in an exchange of data."""


def work(job: Job) -> dict[str, JsonValue]:
    rank = int(os.environ.get("RANK") or 0)
    Path(sys.argv[1]).with_name(f"begun-{rank}").touch()
    console.say(f"rank {rank} speaks")
    if job.how != "well" and rank != job.rank:
        time.sleep(600)
    if job.how == "slow":
        began = time.time()
        time.sleep(1)
        return {"times": [began, time.time()]}
    if job.how == "refuse":
        raise InputError("a.jsonl line 3: bad", "mend it")
    if job.how == "fault":
        raise KeyError("x")
    if job.how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.how == "sleep":
        time.sleep(600)
    return {"pid": os.getpid(), "rank": rank}


MODULE = "job_under_test"


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", as_module(__file__, MODULE, tmp_path))


def test_an_answer_comes_from_another_process(tmp_path: Path) -> None:
    assert run_job(MODULE, Job(how="well"), tmp_path / "f")["pid"] != os.getpid()


def test_two_calls_for_one_folder_run_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        f"from {MODULE} import Job; from headrace.infra.subprocess_jobs import run_job\n"
        f"print(run_job('{MODULE}', Job(how='slow'), Path(sys.argv[1]))['times'])"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "f")], text=True,
                         stdout=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    times = sorted(json.loads(p.communicate()[0]) for p in both)
    assert times[0][1] <= times[1][0]


def test_a_job_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEADLINE, str(time.monotonic() + 8))
    with pytest.raises(DeadlineError, match="time is over"):
        run_job(MODULE, Job(how="sleep"), tmp_path / "f")
    assert (tmp_path / "f" / "begun-0").exists()
    assert str(tmp_path) not in " ".join(" ".join(p.cmdline()) for p in children())


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]


def test_a_users_mistake_keeps_code_message_and_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3") as e:
        run_job(MODULE, Job(how="refuse"), tmp_path / "f")
    assert (e.value.code, e.value.hint) == (3, "mend it")


@pytest.mark.parametrize(("how", "said"), [("fault", "KeyError"), ("die", "signal 9")])
def test_an_unexpected_end_is_code_one(tmp_path: Path, how: str, said: str) -> None:
    with pytest.raises(HeadraceError, match=said) as e:
        run_job(MODULE, Job(how=how), tmp_path / "f")
    assert e.value.code == 1


def test_an_old_answer_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    run_job(MODULE, Job(how="well"), tmp_path / "f")
    with pytest.raises(HeadraceError):
        run_job(MODULE, Job(how="die"), tmp_path / "f")


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent = start(tmp_path, Job(how="sleep"))
    wait(lambda: bool(running(tmp_path)))
    parent.kill()
    parent.wait()
    wait(lambda: not running(tmp_path))


def test_of_several_processes_the_first_answers_and_speaks(tmp_path: Path) -> None:
    parent = start(tmp_path, Job(how="well"), processes=2)
    _, heard = parent.communicate(timeout=120)
    assert parent.returncode == 0
    assert json.loads((tmp_path / "f" / "answer.json").read_text())["rank"] == 0
    assert (tmp_path / "f" / "begun-1").exists()
    assert heard.splitlines() == [f"starting 2 processes of {MODULE}", "rank 0 speaks"]


@pytest.mark.parametrize(
    ("how", "rank", "said"),
    [
        ("refuse", 1, "line 3: bad"),
        ("fault", 0, "KeyError"),
        ("die", 1, "one of its 2 processes, rank 1, was ended by signal 9"),
    ],
)
def test_one_process_that_fails_ends_all(tmp_path: Path, how: str, rank: int, said: str) -> None:
    parent = start(tmp_path, Job(how=how, rank=rank), processes=2)
    _, heard = parent.communicate(timeout=120)
    assert parent.returncode == (3 if how == "refuse" else 1)
    assert said in heard and "Traceback" not in heard
    assert not running(tmp_path)


@pytest.mark.parametrize("when", ["at work", "starting"])
def test_no_process_outlives_its_launcher(tmp_path: Path, when: str) -> None:
    parent = start(tmp_path, Job(how="sleep"), processes=2)

    def ready() -> bool:
        begun = [(tmp_path / "f" / f"begun-{r}").exists() for r in (0, 1)]
        return len(running(tmp_path)) == 2 and (when == "starting" or all(begun))

    wait(ready)
    parent.kill()
    parent.wait()
    wait(lambda: not running(tmp_path))


def test_several_processes_end_with_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEADLINE, str(time.monotonic() + 12))
    with pytest.raises(DeadlineError, match="time is over"):
        run_job(MODULE, Job(how="sleep"), tmp_path / "f", processes=2)
    assert (tmp_path / "f" / "begun-1").exists()
    assert not running(tmp_path)


def test_ranks_meet_in_a_folder_of_their_owner_which_goes_with_them(tmp_path: Path) -> None:
    place = tmp_path / "f" / ".ranks"
    place.mkdir(parents=True, mode=0o755)
    (place / "store").write_text("of a run that was killed")
    parent = start(tmp_path, Job(how="sleep"), processes=2)
    try:
        wait(lambda: len(running(tmp_path)) == 2)
        assert place.stat().st_mode & 0o777 == 0o700
        assert not (place / "store").exists()
        ranks = [p.environ() for p in running(tmp_path)]
        assert {e[MEETING] for e in ranks} == {str(place / "store")}
        numbers = sorted((e["RANK"], e["LOCAL_RANK"], e["WORLD_SIZE"]) for e in ranks)
        assert numbers == [("0", "0", "2"), ("1", "1", "2")]
    finally:
        parent.kill()
        parent.wait()
    wait(lambda: not running(tmp_path))
    run_job(MODULE, Job(how="well"), tmp_path / "f", processes=2)
    assert not place.exists()


def start(folder: Path, job: Job, processes: int = 1) -> subprocess.Popen[str]:
    """A command that runs the job in `folder`/f as headrace does, its progress in a pipe."""
    code = f"""
import sys
from pathlib import Path
from {MODULE} import Job
from headrace.infra import console
from headrace.infra.errors import HeadraceError
from headrace.infra.subprocess_jobs import run_job
folder = Path({str(folder)!r})
console.open_console(folder / "log")
try:
    run_job({MODULE!r}, Job.model_validate({job.model_dump()!r}), folder / "f", {processes})
except HeadraceError as error:
    console.say(error.message)
    sys.exit(error.code)
"""
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def running(folder: Path) -> list[psutil.Process]:
    """Processes of the job in `folder`."""
    end = [MODULE, str(folder / "f" / "job.json")]
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-2:] == end]


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


if __name__ == "__main__":
    job_main(Job, work)
