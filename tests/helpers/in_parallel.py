"""Tests in several processes (`make test`): which files share one, and in what order."""

import importlib.util
import sys
from typing import Any

import pytest

_CHAIN = {f"tests/e2e/test_{name}.py" for name in ("chain", "doors", "doors_faults", "golden")}
_FOLDERS = ("tests/training/incremental", "tests/training/rlhf", "tests/training/scoring")
"""Files that use one costly fixture, which each process would make for itself."""


def group_of(nodeid: str) -> str:
    """Return what names the tests that run in the same process as a test, in order."""
    file = nodeid.split("::", 1)[0]
    if file in _CHAIN:
        return "the chain"
    return next((folder for folder in _FOLDERS if file.startswith(folder)), file)


def pytest_configure(config: pytest.Config) -> None:
    """Let `python -m pytest` be the main module of a process that has none.

    Without one, pyspark takes the process for a doctest without grpc and ends it.
    """
    if hasattr(config, "workerinput"):
        sys.modules["__main__"].__spec__ = importlib.util.find_spec("pytest.__main__")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler that gives the next group of tests to a process that is free."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)
