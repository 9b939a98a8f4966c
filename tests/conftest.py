"""Every test works in a state folder of its own, on loopback, without the user's settings."""

import contextlib
import glob
import http.server
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import pytest
from hypothesis import settings
from in_parallel import pytest_configure, pytest_xdist_make_scheduler

from headrace.infra.net.ports import free_port
from headrace.infra.spark import cluster as standalone

__all__ = ["pytest_configure", "pytest_xdist_make_scheduler"]

# The machine is shared and slow at times: a deadline would fail tests that are right.
# The same examples each time, so that a run can be repeated; `make test-all` looks for others.
settings.register_profile("headrace", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "headrace"))


_NOT_THEIRS = (
    *("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_UI_URL"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    *("MLFLOW_TRACKING_TOKEN", "SPARK_CONF_DIR", "HEADRACE_OWN_SERVERS", "HEADRACE_UMASK"),
    *("MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"),
)
"""What names a server, and what a test's own process may have joined (servers.join)."""


@pytest.fixture(scope="session", autouse=True)
def _own_audit_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One audit key for all tests, which is not the user's; what a session shares needs it too."""
    with pytest.MonkeyPatch.context() as patch:
        file = tmp_path_factory.getbasetemp() / "audit-key" / "audit.key"
        patch.setenv("HEADRACE_AUDIT_KEY_FILE", str(file))
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_PROGRESS_FD", "AWS_ENDPOINT_URL", *_NOT_THEIRS):
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
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: Any) -> None:
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
    """A real HTTP server that gets JSON, as a block: (its address, [(path, body; None of a GET)]).

    Its argument gives status and answer from a path and from what it got up to now.
    """
    return _json_server


class FakeClock(contextlib.ExitStack):
    """What headrace.infra.state.clock reads, in a test's hands while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.day = datetime(2026, 5, 1, 12, tzinfo=UTC)
        self.up, self.host, self._starts = 1000.0, "this", 0

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.up += seconds
        self.day += timedelta(seconds=seconds)

    def set(self, seconds: float) -> None:
        """The clock of the day is set ahead or back."""
        self.day += timedelta(seconds=seconds)

    def restart(self, host: str = "this") -> None:
        """The machine starts again, or another one."""
        self._starts += 1
        self.up, self.host = 60.0, host
        self.day += timedelta(seconds=60)

    def __enter__(self) -> "FakeClock":
        for name, value in {
            "now": lambda: self.day, "uptime": lambda: self.up,
            "boot_id": lambda: f"start {self._starts}", "host": lambda: self.host,
        }.items():  # fmt: skip
            self.enter_context(mock.patch(f"headrace.infra.state.clock.{name}", value))
        return self


@pytest.fixture(scope="session")
def fake_clock() -> type[FakeClock]:
    """A machine whose clock the test sets, as a block."""
    return FakeClock


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


@dataclass
class Postgres:
    """A PostgreSQL server on loopback; user headrace has a password, TLS may be used."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql://headrace:s3cret@127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate that the server's is signed by."""
        return self.folder / "ca.pem"


def _certificates(folder: Path) -> None:
    """ca.pem; server.pem and server.key for 127.0.0.1, not for localhost; other.pem, a stranger."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def sign(whose: str, key: Any, by: str, with_key: Any, *extensions: Any) -> bytes:
        made = x509.CertificateBuilder().subject_name(name(whose)).issuer_name(name(by))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1))
        made = made.not_valid_after(now + timedelta(days=9))
        for extension in extensions:
            made = made.add_extension(extension, critical=False)
        return made.sign(with_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    may_sign = x509.BasicConstraints(ca=True, path_length=None)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    (folder / "ca.pem").write_bytes(sign("ca", authority, "ca", authority, may_sign))
    (folder / "other.pem").write_bytes(sign("other", other, "other", other, may_sign))
    (folder / "server.pem").write_bytes(sign("server", server, "ca", authority, address))
    (folder / "server.key").write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres | None]:
    """A PostgreSQL server; None where none is installed."""
    place = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)
    if place is None:
        yield None
        return
    # It refuses to be run by root, and its user must reach the folder.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder = Path("/tmp") / f"headrace-pg-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "pw").write_text("s3cret")
    _certificates(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    made, data = Postgres(free_port(), folder), str(folder / "data")
    subprocess.run(
        [*user, f"{place}/initdb", "-D", data, "-U", "headrace", "-A", "scram-sha-256", "--pwfile",
         str(folder / "pw")], check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    key = folder / "data" / "server.key"
    subprocess.run([*user, "cp", folder / "server.key", key], check=True, cwd=folder)
    subprocess.run([*user, "chmod", "600", key], check=True, cwd=folder)
    ssl = ["-c", "ssl=on", "-c", f"ssl_cert_file={folder}/server.pem", "-c", f"ssl_key_file={key}"]
    server = subprocess.Popen(
        [*user, f"{place}/postgres", "-D", data, "-h", "127.0.0.1", "-p", str(made.port), "-k",
         str(folder), *ssl], cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield made
    finally:
        started = psutil.Process(server.pid)
        for child in started.children(recursive=True)[:1] or [started]:
            child.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


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
