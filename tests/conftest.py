"""Every test works in a state folder of its own, on loopback, without the user's settings."""

from pathlib import Path

import pytest
from hypothesis import settings

# The machine is shared and slow at times: a deadline would fail tests that are right.
settings.register_profile("headrace", deadline=None, max_examples=60)
settings.load_profile("headrace")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_PROGRESS_FD", "AWS_ENDPOINT_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state folder below the test's own folder."""
    folder = tmp_path / "state"
    monkeypatch.setenv("HEADRACE_HOME", str(folder))
    return folder
