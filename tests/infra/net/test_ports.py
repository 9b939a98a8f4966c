import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra.errors import UsageError
from headrace.infra.net.ports import choose_ports, free_port, is_free


def test_a_taken_port_is_passed_over_unless_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        chosen = choose_ports({"a": port, "b": port}, {})
        assert chosen["a"] > port and chosen["b"] > chosen["a"]
        with pytest.raises(UsageError, match=str(port)):
            choose_ports({"a": 1}, {"a": port})


def test_what_was_asked_for_is_kept_from_the_others() -> None:
    port = free_port()
    assert choose_ports({"a": port, "b": 1024}, {"b": port})["a"] != port
    with pytest.raises(UsageError, match="b"):
        choose_ports({}, {"a": port, "b": port})


def test_one_process_at_a_time_chooses(tmp_path: Path) -> None:
    code = (
        "import sys, time; from headrace.infra.net.ports import alone_choosing\n"
        "with alone_choosing():\n"
        "    began = time.time(); time.sleep(1); print(began, time.time())"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, env=env)
        for _ in range(2)
    ]
    first, second = sorted([float(x) for x in p.communicate()[0].split()] for p in both)
    assert first[1] <= second[0]
