"""Whatever fails, wherever: one sentence with its last cause and place, and the right exit code."""

import errno
import importlib
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra import errors, faults
from headrace.infra.errors import (
    DamagedWindowError,
    HeadraceError,
    InputError,
    ResourceError,
    UsageError,
)


def raised(make: object) -> BaseException:
    try:
        make()  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


SYSTEM = [
    (errno.ENOSPC, ResourceError, "no space left on /data/out"),
    (errno.EDQUOT, ResourceError, "quota is used up on /data/out"),
    (errno.EIO, ResourceError, "input/output error on /data/out"),
    (errno.EMFILE, ResourceError, "too many open files, at /data/out"),
    (errno.EACCES, UsageError, "permission denied: /data/out"),
    (errno.EPERM, UsageError, "not permitted: /data/out"),
    (errno.EROFS, UsageError, "read-only file system: /data/out"),
    (errno.ENOTDIR, UsageError, "there is a file where a folder is needed: /data/out"),
    (errno.EEXIST, UsageError, "there is a file where a folder is needed: /data/out"),
    (errno.EISDIR, UsageError, "there is a folder where a file is needed: /data/out"),
    (errno.ENAMETOOLONG, UsageError, "the name is too long: /data/out"),
]


@pytest.mark.parametrize(("number", "kind", "said"), SYSTEM)
@pytest.mark.parametrize("wrapped", ["plain", "cause", "carried", "text"])
def test_what_the_system_refuses_is_told_with_its_place(
    number: int, kind: type[HeadraceError], said: str, wrapped: str
) -> None:
    error: Exception = OSError(number, os.strerror(number), "/data/out")
    if wrapped == "cause":
        outer = RuntimeError("a library's wrapper")
        outer.__cause__ = error
        error = outer
    elif wrapped == "carried":
        error = RuntimeError(f"Job aborted\n{faults.carried(error)}\n at org.apache.spark.X(Y:3)")
    elif wrapped == "text":
        error = RuntimeError(f"IO Error: {error}")
    found = faults.explained(error)
    assert isinstance(found, kind) and said in found.message and found.hint
    assert found.code == kind.code and "\n" not in found.message


PYTHON_WORKER = """
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/x/stage.py", line 30, in _each
    work(numbers[at])
  File "/x/kernel.py", line 3, in work
    raise ValueError("a window of 3 rows, not 4")
ValueError: a window of 3 rows, not 4
"""
JAVA = """An error occurred while calling o51.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2)
Caused by: java.io.IOException: No such replica
\tat java.base/java.io.RandomAccessFile.open0(Native Method)
Caused by: java.util.concurrent.TimeoutException: no answer in 120 s
"""
FULL = "org.apache.spark.SparkException: x\nCaused by: java.io.IOException: No space left on device"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (PYTHON_WORKER, 1, "ValueError: a window of 3 rows, not 4"),
        (JAVA, 1, "TimeoutException: no answer in 120 s"),
        (FULL, 1, "no space left on a disk"),
        ("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device", 1,
         "no space left"),
        ("", 1, "PythonException"),
    ],
)  # fmt: skip
def test_the_last_cause_inside_spark_is_what_is_said(text: str, code: int, said: str) -> None:
    class PythonException(Exception):
        pass

    found = faults.explained(PythonException(text))
    assert found.code == code and said in found.message
    assert "worker" not in found.message and "org.apache" not in found.message


def test_a_message_that_ends_like_an_error_is_not_taken_for_one() -> None:
    assert faults.explained(RuntimeError("first\nValueError: second")).message == (
        "RuntimeError: first"
    )


def test_databases_report_a_full_disk_in_words_of_their_own() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    assert isinstance(faults.explained(full), ResourceError)
    assert isinstance(faults.explained(MemoryError()), ResourceError)


def test_an_errno_without_a_place_is_no_users_mistake() -> None:
    found = faults.explained(PermissionError(errno.EPERM, "Operation not permitted"))
    assert type(found) is HeadraceError and found.code == 1


def test_what_was_being_done_is_said() -> None:
    def work() -> None:
        with faults.during("writing part 7"), faults.during("reading /in/a.jsonl"):
            raise ValueError("odd")

    assert faults.explained(raised(work)).message == (
        "ValueError: odd (reading /in/a.jsonl) (writing part 7)"
    )


def test_an_error_that_names_no_file_is_given_one() -> None:
    def write() -> None:
        with faults.naming("/data/out/part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def other() -> None:
        with faults.naming("/data/out/part"):
            raise OSError(errno.EACCES, "Permission denied", "/elsewhere")

    assert "no space left on /data/out/part" in faults.explained(raised(write)).message
    assert "/elsewhere" in faults.explained(raised(other)).message


@pytest.mark.parametrize("kind", sorted(errors._KINDS))
def test_every_fault_crosses_a_process_border_as_what_it_is(kind: str) -> None:
    fault = errors._KINDS[kind]("what\nand where", "do this", {"read": 7})
    for again in (errors.of_json(fault.as_json()), faults.explained(faults.carried(fault))):
        assert type(again) is type(fault)
        assert (again.message, again.hint, again.counts) == (r"what\nand where", "do this",
                                                             {"read": 7})  # fmt: skip


def test_a_fault_is_one_line_whatever_it_quotes() -> None:
    error = InputError("in/x\nerror: forged\x1b[2J.jsonl: no such file", "check \udcff")
    assert error.message == str(error) == r"in/x\nerror: forged\x1b[2J.jsonl: no such file"
    assert error.hint == r"check \xff"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A real one: a file system of 64 kB, where this machine lets us mount one."""
    code = """import sys; from headrace.infra import storage
storage.write_bytes(sys.argv[1] + "/big", bytes(1_000_000))"""
    script = 'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr[:100]}")
    assert f"No space left on device: '{tmp_path}/big'" in done.stderr


def test_a_damaged_window_stays_one() -> None:
    """Its class decides whether it is tried again."""
    assert isinstance(faults.explained(faults.carried(DamagedWindowError("x"))), DamagedWindowError)
    assert pickle.loads(pickle.dumps(UsageError("x", "y"))).message == "x"


def test_an_incomplete_installation_names_the_package() -> None:
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module("headrace_lacks_this.part")
    fault = faults.explained(raised.value)
    assert isinstance(fault, UsageError)
    assert fault.message == "the package headrace_lacks_this is not installed"
