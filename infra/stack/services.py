"""What a local stack runs: Prefect, its workers, MLflow and a Spark cluster, all on loopback.

Where the servers of others are used instead (servers.py), Prefect or MLflow is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.infra import audit_key
from headrace.infra.net import credentials, file_variables, proxies
from headrace.infra.net.ports import HOST
from headrace.infra.spark import auth, cluster
from headrace.infra.stack import database, retention, spark_pages, worker
from headrace.infra.stack.pools import ROLES, PoolsSettings
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.state import private
from headrace.infra.state.state_dir import Home

MARK = "HEADRACE_STACK"
"""Environment variable of everything that a stack starts, its workers' runs included."""

SPARK_PAGES = ("spark_master_ui", "spark_worker_1_ui", "spark_worker_2_ui", "spark_history")
"""Names of the ports where a person reads Spark's pages."""

PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "JAVA_HOME",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "DS_ACCELERATOR", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HADOOP_CONF_DIR", "KUBECONFIG",
    "PYTHONWARNINGS", private.UMASK, audit_key.VARIABLE, *credentials.VARIABLES,
)  # fmt: skip
"""Environment variables of whoever calls `up` that its services and runs find. The rest of a shell,
with the tokens that stand in it, is not theirs."""
PASSED_BEGINNINGS = ("LC_", "XDG_", "AWS_", "OMP_", "MKL_", "NCCL_", "NUMBA_", "TORCH_")

DEFAULT_PORTS = {
    "prefect": 4200,
    "mlflow": 5000,
    "spark_master": 7077,
    "spark_master_ui": 8080,
    "spark_worker_1_ui": 8081,
    "spark_worker_2_ui": 8082,
    "spark_history": 18080,
    "spark_master_inner": 28080,
    "spark_worker_1_inner": 28081,
    "spark_worker_2_inner": 28082,
    "spark_history_inner": 28083,
}
"""Those called inner are of Spark's own pages, which spark_pages.py shows to whoever logs in."""


@dataclass(frozen=True)
class Service:
    """A process of the stack."""

    name: str
    argv: list[str]
    address: str
    """Where a person finds it; empty: it only helps another."""
    health: str | None = None
    """URL that answers once it is ready; None: it is ready when it runs."""
    env: dict[str, str] = field(default_factory=dict)
    later: bool = False
    """Started only when the others answer."""


def all_services(
    home: Home,
    ports: dict[str, int],
    server: database.Server | None,
    pools: PoolsSettings | None = None,
    theirs: Collection[str] = (),
    keep: RetentionSettings | None = None,
) -> list[Service]:
    """All of the stack, in the order of the contract.

    Args:
        home: the state folder.
        ports: port by name (DEFAULT_PORTS).
        server: see database.stores.
        pools: the work pools; None: the stack's own.
        theirs: services that are not started, because another's server is used: prefect, mlflow.
        keep: how long what nothing needs any more is kept; None: the defaults.
    """
    keep = keep or RetentionSettings()
    prefect_store, mlflow_store = database.stores(home, server)
    folder, python = home.stack, sys.executable
    site, master = f"http://{HOST}:{ports['prefect']}", master_of(ports)
    inner = {name: f"{name.removesuffix('_ui')}_inner" for name in SPARK_PAGES}
    conf = {"SPARK_CONF_DIR": str(auth.daemon_folder(home))}

    def spark(name: str, command: cluster.Command, page: str) -> Service:
        argv, env = command
        address = master if name == "spark-master" else f"http://{HOST}:{ports[page]}"
        health = f"http://{HOST}:{ports[inner[page]]}"
        return Service(name, argv, address, health, {**env, **conf})

    def spark_worker(number: int) -> Service:
        page, place = f"spark_worker_{number}_ui", folder / f"spark-worker-{number}"
        command = cluster.worker_command(master, ports[inner[page]], place, cores=1, memory="2g")
        return spark(f"spark-worker-{number}", command, page)

    history = cluster.history_command(
        ports["spark_history_inner"], event_log(home), folder / "spark-history", keep.spark_days
    )
    found = [
        Service(
            "prefect",
            [python, "-m", "headrace.infra.stack.prefect_server", str(ports["prefect"])],
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
                f"worker-{role}",
                worker.command(pool.name, pool.type),
                f"pool {pool.name}",
                # One of them keeps the state folder tidy.
                env=retention.to_variable(keep) if role == ROLES[0] else {},
                later=True,
            )
            for role, pool in (pools or PoolsSettings()).by_role().items()
        ),
        Service(
            "mlflow",
            [python, "-m", "headrace.infra.stack.mlflow_server", str(ports["mlflow"])],
            f"http://{HOST}:{ports['mlflow']}",
            f"http://{HOST}:{ports['mlflow']}/health",
            {"HEADRACE_MLFLOW_STORE": mlflow_store,
             "HEADRACE_MLFLOW_ARTIFACTS": (home.root / "mlartifacts").as_uri()},
        ),
        spark("spark-master", cluster.master_command(
            ports["spark_master"], ports["spark_master_inner"], folder / "spark-master"),
            "spark_master_ui"),
        spark_worker(1),
        spark_worker(2),
        spark("spark-history", history, "spark_history"),
        Service(
            "spark-pages",
            spark_pages.command({ports[name]: ports[inner[name]] for name in SPARK_PAGES}),
            "",
            f"http://{HOST}:{ports['spark_master_ui']}",
        ),
    ]  # fmt: skip
    return [service for service in found if service.name not in theirs]


def master_of(ports: Mapping[str, int]) -> str:
    """Address of the Spark master."""
    return f"spark://{HOST}:{ports['spark_master']}"


def event_log(home: Home) -> Path:
    """Where Spark leaves what the history server shows."""
    return home.root / "spark" / "events"


def environment(
    home: Home,
    mark: str,
    servers: Mapping[str, str],
    environ: Mapping[str, str],
    more: Collection[str] = (),
) -> dict[str, str]:
    """Return what every process of the stack, and every flow run that a worker starts, finds.

    Args:
        home: the state folder.
        mark: see MARK.
        servers: how Prefect's and MLflow's clients reach their servers (Endpoints.environment).
        environ: the environment of whoever calls.
        more: names of further variables of it that are passed on.
    """
    passed = {*PASSED, *more}
    found = {
        **{k: v for k, v in environ.items() if k in passed or k.startswith(PASSED_BEGINNINGS)},
        **proxies.exceptions(environ),
        MARK: mark,
        "HEADRACE_HOME": str(home.root),
        "PREFECT_HOME": str(home.root / "prefect"),
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
        **servers,
    }
    return file_variables.absolute(found)
