"""Whose the other ends of accepted connections are."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from another_account import AS_ANOTHER, UID, needs_another

from headrace.infra.net.peers import strangers

CONNECT = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_this_account_is_no_stranger(door: socket.socket) -> None:
    with socket.create_connection(door.getsockname()), door.accept()[0]:
        assert strangers() == set()


@needs_another
def test_another_account_is_one_only_where_it_has_connected_to_this_process(
    door: socket.socket,
) -> None:
    port = str(door.getsockname()[1])
    with subprocess.Popen(
        [*AS_ANOTHER, sys.executable, "-c", CONNECT, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"connected\n"
        with door.accept()[0]:
            assert strangers() == {UID}
        other.communicate(b"")
    assert strangers() == set()


SERVE = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as s:
    print(s.getsockname()[1], flush=True)
    s.accept()
    sys.stdin.read()
"""


@needs_another
def test_a_server_of_another_account_that_this_process_uses_is_none(door: socket.socket) -> None:
    with subprocess.Popen(
        [*AS_ANOTHER, sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as other:
        assert other.stdout is not None
        with socket.create_connection(("127.0.0.1", int(other.stdout.readline()))):
            assert strangers() == set()
        other.communicate(b"")
