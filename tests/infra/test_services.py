"""What the stack runs."""

from pathlib import Path

from headrace.infra.home import Home
from headrace.infra.services import DEFAULT_PORTS, all_services

NAMES = ["prefect", "worker-spark", "worker-training", "mlflow", "spark-master", "spark-worker-1",
         "spark-worker-2", "spark-history"]  # fmt: skip


def test_the_services_of_the_contract_on_loopback(tmp_path: Path) -> None:
    services = all_services(Home(tmp_path), DEFAULT_PORTS, None)
    assert [s.name for s in services] == NAMES
    assert all("0.0.0.0" not in " ".join(s.argv) for s in services)
