"""What makes a skip a failure where nothing may be skipped silently: in CI."""

import os
from collections.abc import Generator

import pytest

NO_SKIPS = "HEADRACE_NO_SKIPS"
"""Environment variable that forbids skips; `.ci/run` sets it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one under NO_SKIPS; a conftest imports this by its name."""
    report = yield
    if report.skipped and os.environ.get(NO_SKIPS) and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{NO_SKIPS} is set, so it must run. {why}"
    return report
