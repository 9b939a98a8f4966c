"""What `headrace up` says about its pages."""

import pytest

from headrace.infra.net.servers import Server, own_mlflow, own_prefect, their_prefect
from headrace.infra.stack.endpoints import Cluster, Endpoints
from headrace.infra.stack.ways_in import ways_in

HISTORY = {"spark-history": "http://127.0.0.1:18080"}


class Found(Endpoints):
    def __init__(self, prefect: Server | None, mlflow: Server) -> None:
        self._prefect, self._mlflow = prefect, mlflow

    @property
    def prefect(self) -> Server | None:
        return self._prefect

    @property
    def mlflow(self) -> Server:
        return self._mlflow

    @property
    def spark(self) -> Cluster | None:
        return None


def test_pages_and_a_tunnel_to_what_is_on_loopback() -> None:
    found = Found(own_prefect("http://127.0.0.1:4200/api", "headrace:secret"),
                  own_mlflow("http://127.0.0.1:1", "secret"))  # fmt: skip
    ways = ways_in(found, HISTORY)
    assert ways.pages == {
        "runs": "http://127.0.0.1:4200", "models": "http://127.0.0.1:1/#/models",
        "experiments": "http://127.0.0.1:1/#/experiments", "spark": "http://127.0.0.1:18080",
    }  # fmt: skip
    for port in (4200, 1, 18080):
        assert f"-L {port}:127.0.0.1:{port} " in (ways.tunnel or "")
    assert ways.user == "headrace" and "secret" not in str(ways)


def test_the_servers_of_others_need_no_tunnel() -> None:
    theirs = their_prefect({"PREFECT_API_URL": "https://prefect.example/api"})
    ways = ways_in(Found(theirs, Server("postgresql://h/m", None, {}, own=False)), {})
    assert ways.pages["runs"] == "https://prefect.example" and ways.pages["models"] is None
    assert ways.tunnel is None


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    tunnel = ways_in(Found(None, own_mlflow("http://127.0.0.1:1", None)), {}).tunnel
    assert tunnel is not None and " 54321@" in tunnel
