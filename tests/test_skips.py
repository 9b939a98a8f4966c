"""The end-to-end tests don't skip in CI: a missing server or browser is a failure there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from skips import NO_SKIPS

HELPERS = Path(__file__).parent / "helpers"
ROOT = Path(__file__).parents[1]
SKIPS = """
import pytest

@pytest.fixture
def server():
    pytest.skip("no server here")

def test_needs_a_server(server):
    pass

def test_needs_nothing():
    pass

@pytest.mark.xfail
def test_known():
    assert False
"""


@pytest.mark.parametrize(("value", "said"), [("", "1 skipped"), ("1", "no server here")])
def test_a_skip_is_a_failure_where_none_may_be(tmp_path: Path, value: str, said: str) -> None:
    (tmp_path / "conftest.py").write_text("from skips import pytest_runtest_makereport\n")
    (tmp_path / "test_it.py").write_text(SKIPS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HELPERS), NO_SKIPS: value},
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert said in done.stdout and "1 passed" in done.stdout and "1 xfailed" in done.stdout
    assert done.returncode == (1 if value else 0)


def test_the_end_to_end_tests_have_it_and_ci_sets_it() -> None:
    assert "import pytest_runtest_makereport" in (ROOT / "tests/e2e/conftest.py").read_text()
    assert f"export {NO_SKIPS}=1" in (ROOT / ".ci" / "run").read_text()
