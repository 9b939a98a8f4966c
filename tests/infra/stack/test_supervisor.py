"""What supervisord is told, and who counts as listening; it runs in tests/e2e/test_doors.py."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor.datatypes import RestartUnconditionally
from supervisor.options import ServerOptions

from headrace.infra.errors import UsageError
from headrace.infra.stack.database import Server
from headrace.infra.stack.services import DEFAULT_PORTS, all_services
from headrace.infra.stack.supervisor import configuration, listens, socket_path
from headrace.infra.state.state_dir import Home


def test_what_supervisord_reads_is_what_was_meant(tmp_path: Path) -> None:
    home = Home(tmp_path / "50% off 中")
    services = all_services(home, DEFAULT_PORTS, Server("postgresql://u:a%2Fb@h/", "0af1", "/"))
    for folder in ("stack", "logs/stack"):
        (home.root / folder).mkdir(parents=True, exist_ok=True)
    path = tmp_path / "supervisor.conf"
    path.write_text(configuration(home, services))
    # A per cent sign begins an expansion, and some are made twice.
    options = ServerOptions()
    options.realize(["-c", str(path)])
    assert options.directory == str(home.root)
    read = {g.name: g.process_configs[0] for g in options.process_group_configs}
    for service in services:
        process = read[service.name]
        assert shlex.split(process.command) == service.argv
        assert process.environment == service.env and process.autorestart is RestartUnconditionally
        assert process.stdout_logfile == str(home.logs / "stack" / f"{service.name}.log")


@pytest.mark.parametrize("name", ["a ;b", "a #b", 'a"b'])
def test_a_path_that_it_would_not_take_is_refused(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    with pytest.raises(UsageError, match="can't take a quote"):
        configuration(home, all_services(home, DEFAULT_PORTS, None))


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
