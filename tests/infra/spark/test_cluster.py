"""A standalone cluster by its commands: real processes, on loopback, that a signal hits."""

import socket
from ipaddress import ip_address
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.spark, pytest.mark.server]


def test_all_answer_on_loopback_and_nowhere_else(cluster: Any) -> None:
    assert cluster.page("master", "/json/")["url"] == cluster.master
    assert cluster.page("worker-1", "/json/")["masterurl"] == cluster.master
    assert isinstance(cluster.page("history", "/api/v1/applications"), list)
    for name, process in cluster.processes.items():
        there = psutil.Process(process.pid)
        assert there.name() == "java", name
        listening = [c.laddr for c in there.net_connections() if c.status == psutil.CONN_LISTEN]
        assert cluster.ports[name] in {a.port for a in listening}
        for address in listening:
            ip = ip_address(address.ip)
            assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback, f"{name}: {address}"
        if name == "master":
            assert {a.port for a in listening} == {cluster.ports["master"], cluster.ports["spark"]}


def test_what_they_write_is_below_their_folders(cluster: Any) -> None:
    for name, process in cluster.processes.items():
        assert (
            psutil.Process(process.pid)
            .environ()["SPARK_LOCAL_DIRS"]
            .startswith(str(cluster.folder / name))
        )
    assert (cluster.folder / "worker-1" / "work").is_dir()
    assert cluster.events.is_dir()


def test_a_worker_that_is_killed_is_gone_and_comes_back(cluster: Any) -> None:
    cluster.kill("worker-2")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster.ports["worker-2"]), 2)
    cluster.start("worker-2")
    assert cluster.alive() == 2
