"""What a local stack runs: Prefect, its workers, MLflow and a Spark cluster, all on loopback."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from headrace.infra import database, retention, standalone, worker
from headrace.infra.audit_key import VARIABLE, key_file
from headrace.infra.home import Home
from headrace.infra.ports import HOST
from headrace.infra.retention import RetentionSettings

POOLS = ("spark", "training")

MARK = "HEADRACE_STACK"
"""Environment variable of everything that a stack starts, its workers' runs included."""

DEFAULT_PORTS = {
    "prefect": 4200,
    "mlflow": 5000,
    "spark_master": 7077,
    "spark_master_ui": 8080,
    "spark_worker_1_ui": 8081,
    "spark_worker_2_ui": 8082,
    "spark_history": 18080,
}


@dataclass(frozen=True)
class Service:
    """A process of the stack."""

    name: str
    argv: list[str]
    address: str
    """Where a person finds it."""
    health: str | None = None
    """URL that answers once it is ready; None: it is ready when it runs."""
    env: dict[str, str] = field(default_factory=dict)
    later: bool = False
    """Started only when the others answer."""


def all_services(
    home: Home,
    ports: dict[str, int],
    server: database.Server | None,
    keep: RetentionSettings | None = None,
) -> list[Service]:
    """All of the stack, in the order of the contract; `server`: see database.stores."""
    keep = keep or RetentionSettings()
    prefect_store, mlflow_store = database.stores(home, server)
    folder, python = home.stack, sys.executable
    site, master = f"http://{HOST}:{ports['prefect']}", f"spark://{HOST}:{ports['spark_master']}"

    def spark(name: str, command: standalone.Command, ui: int, later: bool = False) -> Service:
        url = f"http://{HOST}:{ui}"
        argv, env = command
        return Service(name, argv, master if name == "spark-master" else url, url, env, later)

    def spark_worker(number: int) -> Service:
        ui = ports[f"spark_worker_{number}_ui"]
        place = folder / f"spark-worker-{number}"
        command = standalone.worker_command(master, ui, place, cores=1, memory="2g")
        return spark(f"spark-worker-{number}", command, ui)

    history = standalone.history_command(
        ports["spark_history"], event_log(home), folder / "spark-history", keep.spark_days
    )
    return [
        Service(
            "prefect",
            [python, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app",
             "--host", HOST, "--port", str(ports["prefect"]), "--log-level", "warning",
             "--timeout-graceful-shutdown", "5"],
            site,
            f"{site}/api/health",
            # On SQLite writers wait for each other, and on a busy machine for more than 10 s.
            {"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_store,
             "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
             **database.prefect_environment(server),
             **retention.prefect_environment(keep)},
        ),
        *(
            Service(
                f"worker-{pool}",
                worker.command(pool),
                f"pool {pool}",
                # One of them keeps the state folder tidy.
                env=retention.to_variable(keep) if pool == POOLS[0] else {},
                later=True,
            )
            for pool in POOLS
        ),
        Service(
            "mlflow",
            [python, "-m", "headrace.infra.mlflow_server", str(ports["mlflow"])],
            f"http://{HOST}:{ports['mlflow']}",
            f"http://{HOST}:{ports['mlflow']}/health",
            {"HEADRACE_MLFLOW_STORE": mlflow_store,
             "HEADRACE_MLFLOW_ARTIFACTS": (home.root / "mlartifacts").as_uri()},
        ),
        spark("spark-master", standalone.master_command(
            ports["spark_master"], ports["spark_master_ui"], folder / "spark-master"),
            ports["spark_master_ui"]),
        spark_worker(1),
        spark_worker(2),
        spark("spark-history", history, ports["spark_history"]),
    ]  # fmt: skip


def event_log(home: Home) -> Path:
    """Where Spark leaves what the history server shows."""
    return home.root / "spark" / "events"


def environment(home: Home, ports: dict[str, int], mark: str) -> dict[str, str]:
    """What every process of the stack, and every flow run that a worker starts, finds."""
    site = f"http://{HOST}:{ports['prefect']}"
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "HEADRACE_"))},
        **({VARIABLE: str(key_file())} if os.environ.get(VARIABLE) else {}),
        MARK: mark,
        "HEADRACE_HOME": str(home.root),
        "PREFECT_HOME": str(home.root / "prefect"),
        "PREFECT_API_URL": f"{site}/api",
        "PREFECT_UI_API_URL": f"{site}/api",
        "PREFECT_UI_URL": site,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # In memory, the default, they are lost with the server, and its runs are then cancelled.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "9",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
    }
