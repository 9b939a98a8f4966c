import socket

import pytest

from headrace.infra.errors import UsageError
from headrace.infra.ports import choose_ports, free_port, is_free


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
