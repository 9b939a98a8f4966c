"""What supervisord is told, and who counts as listening; it runs in tests/e2e/test_doors.py."""

import os
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

from headrace.infra.home import Home
from headrace.infra.services import DEFAULT_PORTS, all_services
from headrace.infra.supervisor import configuration, listens, socket_path


def test_every_service_comes_back_and_paths_are_quoted(tmp_path: Path) -> None:
    services = all_services(Home(tmp_path), DEFAULT_PORTS, None)
    parsed = RawConfigParser()
    parsed.read_string(configuration(Home(tmp_path / "50% off"), services))
    for name in (s.name for s in services):
        assert parsed[f"program:{name}"]["autorestart"] == "true"
    # A per cent sign would be taken for a variable of supervisor's.
    assert "50%% off" in parsed["supervisord"]["directory"]


def test_a_long_path_gets_a_socket_that_fits(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 120))
    assert len(str(socket_path(home))) <= 100
    assert socket_path(home) != socket_path(Home(tmp_path / ("y" * 120)))


def test_only_the_process_itself_counts_as_listening() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        url = f"http://127.0.0.1:{s.getsockname()[1]}/health"
        assert listens(os.getpid(), url)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            assert not listens(other.pid, url), "another's server is not ours"
        finally:
            other.kill()
            other.wait()
    assert not listens(os.getpid(), url)
