"""Jobs in processes of their own: answers, errors, and what happens when one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from headrace.infra.errors import HeadraceError, InputError
from headrace.infra.process import job_main, run_job
from headrace.infra.settings import Settings


class Job(Settings):
    how: str


def work(job: Job) -> dict[str, int]:
    if job.how == "refuse":
        raise InputError("a.jsonl line 3: bad", "mend it")
    if job.how == "fault":
        raise KeyError("x")
    if job.how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.how == "sleep":
        time.sleep(60)
    return {"pid": os.getpid()}


MODULE = "job_under_test"


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__)
    (tmp_path / f"{MODULE}.py").write_text(here.read_text())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_an_answer_comes_from_another_process(tmp_path: Path) -> None:
    assert run_job(MODULE, Job(how="well"), tmp_path / "f")["pid"] != os.getpid()


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
    code = (
        f"from pathlib import Path; from {MODULE} import Job;"
        "from headrace.infra.process import run_job;"
        f"run_job({MODULE!r}, Job(how='sleep'), Path({str(tmp_path / 'f')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    job = str(tmp_path / "f" / "job.json")

    def children() -> list[int]:
        found = psutil.process_iter(["cmdline"])
        return [p.pid for p in found if (p.info["cmdline"] or [])[-2:] == [MODULE, job]]

    end = time.monotonic() + 60
    while not children() and time.monotonic() < end:
        time.sleep(0.1)
    assert children()
    parent.kill()
    parent.wait()
    while children() and time.monotonic() < end:
        time.sleep(0.1)
    assert not children()


if __name__ == "__main__":
    job_main(Job, work)
