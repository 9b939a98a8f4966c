import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace.infra.errors import AtWorkError
from headrace.infra.state import lock
from headrace.infra.state.lock import exclusive, exclusive_now
from headrace.infra.state.state_dir import Home

HOLDERS = {
    "exclusive": "with lock.exclusive(path): done(float(sys.argv[2]))",
    "hold": "lock.hold(path, 'waiting'); done(60)",
    "work_in": "lock.work_in(Home(path)); done(60)",
}
PROGRAM = """
import sys, time
from pathlib import Path
from headrace.infra.state import lock
from headrace.infra.state.state_dir import Home
path = Path(sys.argv[1])
def done(seconds):
    print("held", flush=True)
    time.sleep(seconds)
"""


def start(way: str, path: Path, seconds: float = 60) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM + HOLDERS[way], str(path), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def await_held(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def kill(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_the_user_sees_what_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await_held(start("exclusive", tmp_path / "new" / "lock", 1))
    with exclusive(tmp_path / "new" / "lock", "waiting for the other"):
        assert other.wait(5) == 0
    assert capsys.readouterr().err.startswith("waiting for the other: done")
    with exclusive(tmp_path / "new" / "lock", "waiting for no one"):
        assert not capsys.readouterr().err


@pytest.mark.parametrize("way", ["exclusive", "hold"])
def test_a_second_process_waits_until_the_first_is_killed(tmp_path: Path, way: str) -> None:
    first = await_held(start(way, tmp_path / "work" / "lock"))
    second = start(way, tmp_path / "work" / "lock")
    time.sleep(1.5)
    assert second.poll() is None and lock.is_held(tmp_path / "work" / "lock")
    kill(first)
    kill(await_held(second))
    assert not lock.is_held(tmp_path / "work" / "lock")


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with exclusive(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_that_does_not_wait(tmp_path: Path) -> None:
    for path in (tmp_path / "lock", tmp_path):  # a file, a folder
        with exclusive(path), pytest.raises(BlockingIOError), exclusive_now(path):
            raise AssertionError("was let in")
        with exclusive_now(path):
            pass


def test_who_waited_for_a_folder_that_was_renamed_locks_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    path, waits = tmp_path / "work" / "lock", threading.Event()

    def wait() -> None:
        waits.set()
        with exclusive(path):
            assert path.exists()

    with exclusive(path):
        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait()
        time.sleep(0.3)
        (tmp_path / "work").rename(tmp_path / "trash")
    thread.join(10)
    assert not thread.is_alive() and path.exists()


def test_it_can_be_held_again_after_release_and_removal(tmp_path: Path) -> None:
    path = tmp_path / "work" / "lock"
    lock.hold(path, "waiting")
    lock.hold(path, "waiting")
    shutil.rmtree(path.parent)
    lock.release(path)
    lock.release(path)
    lock.hold(path, "waiting")
    assert path.exists() and lock.is_held(path)
    lock.release(path)
    assert not lock.is_held(path)


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"), exclusive(tmp_path / "lock"):
        pass
    assert not (tmp_path / "target").exists()
    assert lock.is_held(tmp_path / "lock"), "that is not known"


def test_several_work_and_none_removes_until_all_have_ended(tmp_path: Path) -> None:
    processes = [await_held(start("work_in", tmp_path)) for _ in range(2)]
    for process in processes:
        with pytest.raises(AtWorkError, match="at work"), lock.alone_in(Home(tmp_path)):
            raise AssertionError("was let in")
        kill(process)
    with lock.alone_in(Home(tmp_path)):
        pass


def test_only_one_removes(tmp_path: Path) -> None:
    with (
        lock.alone_in(Home(tmp_path)),
        pytest.raises(AtWorkError, match="at work"),
        lock.alone_in(Home(tmp_path)),
    ):
        raise AssertionError("was let in")
    with lock.alone_in(Home(tmp_path)):
        pass


def test_a_forked_child_keeps_counting_as_at_work(tmp_path: Path) -> None:
    code = (
        "import os; lock.work_in(Home(path)); pid = os.fork()\nif pid == 0: done(60)\nos._exit(0)"
    )
    command = [sys.executable, "-c", PROGRAM + code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        await_held(process)
        process.wait()
        assert lock.is_held(tmp_path / ".busy.lock")
        children = [
            int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _of(p, tmp_path)
        ]
        for child in children:
            os.kill(child, signal.SIGKILL)


def _of(process: Path, home: Path) -> bool:
    try:
        return str(home).encode() in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
