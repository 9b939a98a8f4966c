"""What reaches the user's two streams, and what goes to the log file only."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.infra import console

CODE = """
import logging, os, subprocess, sys, warnings
from pathlib import Path

import pytest

from headrace.infra import console
from headrace.infra import console
console.open_console(Path({log!r}))
print("a library's print"); print("a library's error", file=sys.stderr)
os.write(2, b"native noise\\n")
subprocess.run(["sh", "-c", "echo child noise >&2"])
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("headrace.x").exception("went wrong")
logging.getLogger("other").error("not ours")
with console.Progress("stage", 10, "documents", every=0) as p:
    p.advance(4, "loss 2.0")
    p.advance(6)
console.result('{{"a": 1}}')
"""


def test_only_headrace_speaks_to_the_user(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "h.log"
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(log=str(log))], capture_output=True, text=True
    )
    assert done.stdout == '{"a": 1}\n'
    lines = done.stderr.splitlines()
    assert lines[0] == "error: went wrong"
    assert lines[1].startswith("stage: 4 of 10 documents") and "loss 2.0" in lines[1]
    assert lines[-1].startswith("stage: done in") and "10 documents" in lines[-1]
    assert not any("noise" in x or "Traceback" in x or "library" in x for x in lines)
    kept = log.read_text()
    for said in ("library's print", "library's error", "native noise", "child noise", "Traceback",
                 "ZeroDivisionError", "not ours"):  # fmt: skip
        assert said in kept
    assert log.stat().st_mode & 0o077 == 0, "a log may hold text of the corpus"


HEARTBEAT = """
import time
from pathlib import Path

import pytest

from headrace.infra import console
from headrace.infra import console
console.HEARTBEAT_SECONDS = 0.5
console.open_console(Path({log!r}))
with console.Progress("long step"):
    time.sleep(2.5)
"""


def test_a_silent_step_is_not_silent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEARTBEAT.format(log=str(tmp_path / "h.log"))],
        capture_output=True,
        text=True,
    )
    assert "long step: still working" in done.stderr


SPEAKER = """
import sys
import time
from pathlib import Path

import pytest

from headrace.infra import console
from headrace.infra import console
console.speak_through(Path(sys.argv[1]))
console.open_console(Path(sys.argv[2]))
print("a library's print")
console.say("from afar: 远方")
"""


def test_a_process_without_our_descriptors_speaks_through_a_pipe(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    speak = [sys.executable, "-c", SPEAKER, str(pipe), str(tmp_path / "log")]
    with console.listening(pipe):
        for _ in range(2):
            subprocess.run(speak, check=True, close_fds=True)
    assert capfd.readouterr().err == "from afar: 远方\n" * 2
    assert not pipe.exists()
    begun = time.monotonic()
    with console.listening(pipe):  # nobody speaks
        pass
    assert time.monotonic() - begun < 4


def test_nobody_waits_for_who_does_not_listen(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        console.speak_through(tmp_path / "pipe")


ROLL = """
import os, sys, time
from pathlib import Path

from headrace.infra import console

console.LOG_BYTES = 20_000
log, lines, nap = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
console.open_console(log)
for number in range(lines):
    print(f"line {number:06d} of {os.getpid()} " + "x" * 60, flush=True)
    time.sleep(nap)
"""


def write(log: Path, lines: int, nap: float = 0.0) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", ROLL, str(log), str(lines), str(nap)])


def test_logs_stay_bounded_however_many_commands_write_them(tmp_path: Path) -> None:
    log = tmp_path / "h.log"
    for _ in range(7):
        both = [write(log, 150) for _ in range(3)]
        assert [p.wait() for p in both] == [0, 0, 0]
    kept = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))
    assert kept == ["h.log", "h.log.1", "h.log.2", "h.log.3", "h.log.4"]
    # Each began anew when a command found it large: it may have what three commands wrote more.
    assert all((tmp_path / name).stat().st_size < 20_000 + 3 * 150 * 100 for name in kept)
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in kept)


def test_a_long_commands_log_begins_anew_and_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "h.log"
    assert write(log, 800, 0.005).wait() == 0
    files = [*sorted(tmp_path.glob("h.log.*"), reverse=True), log]
    assert len(files) > 2
    lines = [line for f in files for line in f.read_text().splitlines() if line.startswith("line")]
    assert [int(line[5:11]) for line in lines] == list(range(800))
