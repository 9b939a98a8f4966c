"""What reaches the user's two streams, and what goes to the log file only."""

import subprocess
import sys
from pathlib import Path

CODE = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
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
