"""Steps through the real spark-submit: answers, errors, what the user sees, and ends by force.

The master is `local[1]` here: how a cluster runs a step is in tests/integration.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pydantic import JsonValue

from headrace.infra import console
from headrace.infra.configuration.settings import Settings, SparkSettings
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.spark import submit

pytestmark = pytest.mark.spark
LOCAL = SparkSettings(master="local[1]", driver_memory="512m")


class Job(Settings):
    how: str


def work(job: Job) -> dict[str, JsonValue]:
    if job.how == "refuse":
        raise InputError("a.jsonl line 3: bad", "mend it", {"read": 7})
    if job.how == "fault":
        raise KeyError("x")
    if job.how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.how == "sleep":
        Path(sys.argv[1]).with_name("at work").touch()
        time.sleep(120)
    print("a library's noise")
    console.say("half of it is done: 一半")
    return {"pid": os.getpid(), "java": os.environ["PYSPARK_GATEWAY_PORT"]}


def test_an_answer_comes_from_a_driver_and_its_lines_reach_the_user(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "a state folder"))
    said = submit.run(__file__, Job(how="well"), LOCAL)
    assert said["pid"] != os.getpid() and int(str(said["java"])) > 0
    seen = capfd.readouterr()
    assert seen.err.splitlines()[0] == "spark-submit to local[1]"
    assert "half of it is done: 一半" in seen.err.splitlines()
    assert "noise" not in seen.err + seen.out


def test_a_users_mistake_keeps_code_message_hint_and_counts() -> None:
    with pytest.raises(InputError, match="line 3") as e:
        submit.run(__file__, Job(how="refuse"), LOCAL)
    assert (e.value.code, e.value.hint, e.value.counts) == (3, "mend it", {"read": 7})


@pytest.mark.parametrize(("how", "said"), [("fault", "KeyError"), ("die", "ended with code")])
def test_an_unexpected_end_is_code_one(how: str, said: str) -> None:
    folder = submit.folder_of(__file__, Job(how=how))
    folder.mkdir(parents=True)
    (folder / "answer.json").write_text("{}")  # an old one is not taken for a new one
    with pytest.raises(HeadraceError, match=said) as e:
        submit.run(__file__, Job(how=how), LOCAL)
    assert e.value.code == 1


def test_nothing_is_submitted_to_a_master_that_does_not_answer() -> None:
    away = SparkSettings(master="spark://127.0.0.1:9")
    with pytest.raises(UsageError, match="no Spark master answers"):
        submit.run(__file__, Job(how="well"), away)
    assert not submit.folder_of(__file__, Job(how="well")).exists()


@pytest.mark.parametrize("at_work", [True, False])
def test_driver_and_java_die_with_who_submitted_them(tmp_path: Path, at_work: bool) -> None:
    here = Path(__file__)
    (tmp_path / "job_under_test.py").write_text(here.read_text())
    code = (
        "from job_under_test import Job, LOCAL;"
        "from headrace.infra.spark.submit import run;"
        f"run({__file__!r}, Job(how='sleep'), LOCAL)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    folder = submit.folder_of(__file__, Job(how="sleep"))
    job = str(folder / "job.json")

    def started() -> set[str]:
        found = psutil.process_iter(["cmdline", "name"])
        return {
            p.info["name"].rstrip("0123456789.")
            for p in found
            if (p.info["cmdline"] or [""])[-1] == job
        }

    def reached() -> bool:
        # Just started, a driver has not yet asked the kernel to be ended with its parent.
        return (folder / "at work").exists() if at_work else "python" in started()

    end = time.monotonic() + 100
    while not reached() and time.monotonic() < end:
        time.sleep(0.05)
    assert started() == {"java", "python"}
    parent.kill()
    parent.wait()
    while started() and time.monotonic() < end:
        time.sleep(0.1)
    assert not started()


if __name__ == "__main__":
    submit.submitted(Job, work)
