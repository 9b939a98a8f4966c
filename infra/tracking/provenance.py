"""Who made a run, by which command and from which code: the tags that MLflow shows of it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from headrace.infra.state import owner

_ROOT = Path(__file__).parents[2]
"""Folder of the layers: a checkout, or the installed package."""


def tags(source: str | None = None) -> dict[str, str]:
    """Tags by MLflow's own names, and headrace's version.

    Args:
        source: the flow's deployment that does the work; None: a command does.
    """
    return {
        "mlflow.user": owner.account(),
        "mlflow.source.name": source or command(),
        "mlflow.source.type": "JOB" if source else "LOCAL",
        "headrace.version": metadata.version("headrace"),
        **commit(),
    }


def command() -> str:
    """Return the verb of headrace that runs, without arguments: those may hold secrets."""
    name, verb = Path(sys.argv[0] or "python").name, sys.argv[1:2]
    if name not in ("headrace", "cli.py"):
        return name
    return " ".join(["headrace", *(word for word in verb if word.isidentifier())])


@cache
def commit() -> dict[str, str]:
    """Commit and branch of the checkout that this code is in, empty where it is in none.

    An installed package may lie in a folder of somebody else's repository, whose commit says
    nothing of it: the code must be among the files of the commit.
    """
    name = Path(__file__).relative_to(_ROOT)
    if _git("ls-files", "--error-unmatch", str(name)) is None:
        return {}
    found = {
        "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "mlflow.source.git.branch": _git("branch", "--show-current"),
        "headrace.uncommitted": _git("status", "--porcelain", "--untracked-files=no") and "true",
    }
    return {key: value for key, value in found.items() if value}


def _git(*words: str) -> str | None:
    """Return what git says, None where it fails or isn't there."""
    try:
        done = subprocess.run(  # nosec B603, B607 # no shell; own words, and git as PATH has it
            ["git", "-C", str(_ROOT), *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
