"""Every test works in a state folder of its own, on loopback, without the user's settings."""

import contextlib
import http.server
import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from headrace.infra import standalone
from headrace.infra.ports import free_port

# The machine is shared and slow at times: a deadline would fail tests that are right.
# The same examples each time, so that a run can be repeated; `make test-all` looks for others.
settings.register_profile("headrace", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "headrace"))


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


Got = list[tuple[str, Any]]


@contextlib.contextmanager
def _json_server(answer: Callable[[str, Got], tuple[int, Any]]) -> Iterator[tuple[str, Got]]:
    got: Got = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.append((self.path, body))
            status, said = answer(self.path, got)
            self.send_response(status)
            self.end_headers()
            if status != 204:
                self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def json_server() -> Callable[..., Any]:
    """A real HTTP server that is posted JSON, as a block: (its address, [(path, body)]).

    Its argument gives status and answer from a path and from what it got up to now.
    """
    return _json_server


@dataclass
class Cluster:
    """A real standalone cluster: a master, two workers of one core, the history server."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    workers: tuple[str, ...] = ("worker-1", "worker-2")

    def __post_init__(self) -> None:
        self.ports = {n: free_port() for n in ("spark", "master", *self.workers, "history")}

    @property
    def master(self) -> str:
        return f"spark://127.0.0.1:{self.ports['spark']}"

    @property
    def events(self) -> Path:
        return self.folder / "events"

    def command(self, name: str) -> standalone.Command:
        folder, port = self.folder / name, self.ports[name]
        if name == "master":
            return standalone.master_command(self.ports["spark"], port, folder)
        if name == "history":
            return standalone.history_command(port, self.events, folder)
        return standalone.worker_command(self.master, port, folder, 1, "1g")

    def page(self, name: str, path: str) -> Any:
        """What a page says in JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=10) as r:
            return json.loads(r.read())

    def alive(self) -> int:
        """Workers that the master counts on."""
        return int(self.page("master", "/json/")["aliveworkers"])

    def start(self, *names: str) -> None:
        for name in names:
            argv, env = self.command(name)
            with open(self.folder / f"{name}.log", "ab") as log:
                self.processes[name] = subprocess.Popen(
                    argv, env={**os.environ, **env}, stdout=log, stderr=log
                )
        self.wait()

    def wait(self, seconds: float = 120) -> None:
        """Until all that was started answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.page("history", "/api/v1/applications")
                if self.alive() == len(self.workers):
                    return
            except (OSError, ValueError):  # a page may answer before its JSON does
                pass
            time.sleep(0.2)
        logs = {p.name: p.read_text()[-500:] for p in self.folder.glob("*.log")}
        raise AssertionError(f"the cluster doesn't answer: {logs}")

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()
            self.processes[name].wait()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone cluster for all tests that need one; who kills a part of it starts it again."""
    made = Cluster(tmp_path_factory.mktemp("a cluster"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HOME", str(made.folder / "home"))
        try:
            made.start("master", *made.workers, "history")
            yield made
        finally:
            made.kill(*made.processes)


@pytest.fixture(scope="session")
def zero_mean() -> dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]]:
    """Populations whose true mean is 0, each as (random numbers, shape) -> values.

    The skewed ones have many small gains and a few large losses: so a small sample deceives.
    """
    return {
        "normal": lambda dice, size: dice.normal(size=size),
        "t, 2 degrees of freedom": lambda dice, size: dice.standard_t(2, size),
        "t, 3 degrees of freedom": lambda dice, size: dice.standard_t(3, size),
        "normal, a tenth ten times as wide": lambda dice, size: (
            dice.normal(size=size) * np.where(dice.random(size) < 0.1, 10, 1)
        ),
        "log-normal, shape 0.5": lambda dice, size: np.exp(0.125) - dice.lognormal(0, 0.5, size),
        "log-normal, shape 1": lambda dice, size: np.exp(0.5) - dice.lognormal(0, 1, size),
        "log-normal, shape 1, turned": lambda dice, size: dice.lognormal(0, 1, size) - np.exp(0.5),
        "exponential": lambda dice, size: 1 - dice.exponential(size=size),
        "chi-squared, 1 degree of freedom": lambda dice, size: 1 - dice.chisquare(1, size),
        "normal, a twentieth loses 5": lambda dice, size: (
            dice.normal(size=size) + 0.25 - 5 * (dice.random(size) < 0.05)
        ),
    }
