"""kill -9: of a process with its children, at a chosen moment, and as an exception in a process."""

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

SEED = "HEADRACE_KILL_SEED"
"""Environment variable that repeats the moments of an earlier run."""


class Killed(BaseException):
    """Stands for kill -9: no `except Exception` catches it."""


@contextlib.contextmanager
def dies_at_save(step: int | None = None) -> Iterator[None]:
    """Die as soon as a checkpoint is saved: the first, or the one of a step.

    The block has to end so.
    """
    from headrace.training import checkpoint

    save = checkpoint.save

    def save_then_die(root: Path, at: int, *rest: Any) -> Path:
        saved = save(root, at, *rest)
        if step in (None, at):
            raise Killed
        return saved

    with patch.object(checkpoint, "save", save_then_die), pytest.raises(Killed):
        yield


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a session, with all of its children, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def moments(test: str) -> random.Random:
    """Return the random numbers of a test's moments; its seed is printed, and can be given."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    print(f"{test}: {SEED}={seed} repeats these moments")
    return random.Random(seed)
