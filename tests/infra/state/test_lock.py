import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra import console
from headrace.infra.state.lock import exclusive

HOLD = (
    "import sys, time; from pathlib import Path; from headrace.infra.state.lock import exclusive\n"
    "with exclusive(Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(float(sys.argv[2]))"
)


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None and made.stdout.readline() == "held\n"
    return made


def test_the_user_is_told_what_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    other = holder(tmp_path / "new" / "lock", 1)
    with exclusive(tmp_path / "new" / "lock", "waiting for the other"):
        assert other.wait(5) == 0
    assert said and said[0].startswith("waiting for the other: done")
    with exclusive(tmp_path / "new" / "lock", "waiting for nobody"):
        assert len(said) == 1


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    other = holder(tmp_path / "lock", 600)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with exclusive(tmp_path / "lock"):
        pass


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError), exclusive(tmp_path / "lock"):
        pass
    assert not (tmp_path / "target").exists()
