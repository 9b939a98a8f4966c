"""The local stack: Prefect, MLflow and a Spark cluster under a supervisor, all on loopback.

What runs is declared in `services`; supervisord (https://supervisord.org) starts it, brings back
what dies, and is spoken to through its XML-RPC socket. `stack/stack.json` in the state folder says
where everything answers; it counts only for the state folder that it names and while its
supervisor lives, so a copied state folder, or one left behind by a crash, is not taken for a stack.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
from pydantic import Field

from headrace.infra import console, standalone, storage
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.home import Home
from headrace.infra.lineage import digest
from headrace.infra.lock import exclusive
from headrace.infra.ports import HOST as HOST
from headrace.infra.ports import alone_choosing, choose_ports
from headrace.infra.prefect_api import request
from headrace.infra.settings import Settings

POOLS = ("spark", "training")
START_SECONDS = 300.0
STOP_SECONDS = 60.0
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


class StackSettings(Settings):
    """The local stack."""

    ports: dict[
        Literal[
            "prefect",
            "mlflow",
            "spark_master",
            "spark_master_ui",
            "spark_worker_1_ui",
            "spark_worker_2_ui",
            "spark_history",
        ],
        int,
    ] = Field(default_factory=dict)
    """Ports, as `{prefect: 4300}`; without one the usual port, or the next that is free."""
    database: str | None = None
    """PostgreSQL server for Prefect and MLflow, as `postgresql://USER:PASSWORD@HOST:PORT`; None:
    SQLite files in the state folder. It is chosen once, before there is anything to keep."""


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


@dataclass(frozen=True)
class Stack:
    """A stack that is up: where its servers answer."""

    prefect_api: str
    tracking_uri: str
    spark_master: str
    event_log: str
    services: tuple[dict[str, str], ...]


def _folder(home: Home) -> Path:
    return home.root / "stack"


def _state(home: Home) -> Path:
    return _folder(home) / "stack.json"


def _read(home: Home) -> dict[str, Any] | None:
    """What stack.json says, if it speaks of this folder and its supervisor lives."""
    try:
        said: dict[str, Any] = storage.read_json(_state(home))
    except (OSError, ValueError):
        return None
    if said.get("home") != str(home.root) or not said.get("pid"):
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(said["pid"])
        if process.status() != psutil.STATUS_ZOMBIE and process.create_time() == said["created"]:
            return said
    return None


def running(home: Home) -> Stack | None:
    """The stack of a state folder, None where it isn't up."""
    said = _read(home)
    if said is None or not said["ready"]:
        return None
    keys = ("prefect_api", "tracking_uri", "spark_master", "event_log")
    return Stack(**{k: said[k] for k in keys}, services=tuple(said["services"]))


def join(up: Stack) -> None:
    """Make Prefect in this process speak to the stack; before Prefect is imported."""
    os.environ["PREFECT_API_URL"] = up.prefect_api
    os.environ["PREFECT_UI_URL"] = up.prefect_api.removesuffix("/api")


def tracking_uri(home: Home) -> str:
    """MLflow's server while the stack is up, before and after it the store behind it."""
    up = running(home)
    return up.tracking_uri if up else _stores(home, _kept_database(home))[1]


# ── what runs ────────────────────────────────────────────────────────────────────────────────


def _kept(home: Home) -> Path:
    return _folder(home) / "database.json"


def _kept_database(home: Home) -> str | None:
    path = _kept(home)
    return storage.read_json(path)["database"] if path.exists() else None


def _stores(home: Home, database: str | None) -> tuple[str, str]:
    """(Prefect's, MLflow's) database URL."""
    if database is None:
        return f"sqlite+aiosqlite:///{home.root / 'prefect' / 'prefect.db'}", home.mlflow_uri
    rest = database.split("://", 1)[1].rstrip("/")
    return (
        f"postgresql+asyncpg://{rest}/headrace_prefect",
        f"postgresql+psycopg2://{rest}/headrace_mlflow",
    )


def services(home: Home, ports: dict[str, int], database: str | None) -> list[Service]:
    """All of the stack, in the order of the contract."""
    prefect_store, mlflow_store = _stores(home, database)
    folder, python = _folder(home), sys.executable
    site, master = f"http://{HOST}:{ports['prefect']}", f"spark://{HOST}:{ports['spark_master']}"

    def spark(name: str, command: standalone.Command, ui: int, later: bool = False) -> Service:
        url = f"http://{HOST}:{ui}"
        argv, env = command
        return Service(name, argv, master if name == "spark-master" else url, url, env, later)

    def worker(number: int) -> Service:
        ui = ports[f"spark_worker_{number}_ui"]
        place = folder / f"spark-worker-{number}"
        command = standalone.worker_command(master, ui, place, cores=1, memory="2g")
        return spark(f"spark-worker-{number}", command, ui)

    history = standalone.history_command(
        ports["spark_history"], event_log(home), folder / "spark-history"
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
             "PREFECT_SERVER_DATABASE_TIMEOUT": "60"},
        ),
        *(
            Service(
                f"worker-{pool}",
                [python, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process",
                 "--name", f"headrace-{pool}", "--limit", "1"],
                f"pool {pool}",
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
        worker(1),
        worker(2),
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


# ── the supervisor ───────────────────────────────────────────────────────────────────────────


def _socket(home: Home) -> Path:
    """The supervisor's socket; a socket's path may have 107 bytes at most."""
    path = _folder(home) / "supervisor.sock"
    if len(str(path)) <= 100:
        return path
    return Path(tempfile.gettempdir()) / f"headrace-{digest(str(path))[:12]}.sock"


def _configuration(home: Home, all_services: list[Service]) -> str:
    def quoted(value: str) -> str:
        return '"' + value.replace("%", "%%").replace('"', '\\"') + '"'

    logs = home.logs / "stack"
    lines = [
        "[unix_http_server]",
        f"file={_socket(home)}".replace("%", "%%"),
        "chmod=0700",
        "[supervisord]",
        f"logfile={logs / 'supervisor.log'}".replace("%", "%%"),
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"pidfile={_folder(home) / 'supervisor.pid'}".replace("%", "%%"),
        f"directory={home.root}".replace("%", "%%"),
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for service in all_services:
        lines += [
            f"[program:{service.name}]",
            "command=" + " ".join(map(quoted, service.argv)),
            f"autostart={'false' if service.later else 'true'}",
            "autorestart=true",
            # What dies at once is started again after 1, 2, 3 … seconds, and never given up.
            "startsecs=5",
            "startretries=10000",
            "stopasgroup=true",
            "killasgroup=true",
            "stopwaitsecs=12",
            "redirect_stderr=true",
            f"stdout_logfile={logs / service.name}.log".replace("%", "%%"),
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]
        if service.env:
            pairs = (f"{k}={quoted(v)}" for k, v in service.env.items())
            lines.append("environment=" + ",".join(pairs))
    return "\n".join(lines) + "\n"


class _Supervisor:
    """The running supervisord of a state folder."""

    def __init__(self, home: Home) -> None:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{_socket(home)}")
        self.rpc: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What the supervisor says of each process."""
        return {p["name"]: p for p in self.rpc.supervisor.getAllProcessInfo()}

    def start(self, name: str) -> None:
        """Start a process that isn't running."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it has been started already
            self.rpc.supervisor.startProcess(name, False)


def _alone(home: Home) -> AbstractContextManager[None]:
    """One `up` or `down` of a state folder at a time."""
    return exclusive(_folder(home) / "lock", "waiting for another up or down")


def up(home: Home, settings: StackSettings) -> list[dict[str, Any]]:
    """Start what isn't running; [{name, address, pid, state}] when every service answers.

    Raises:
        UsageError: a port that was asked for is taken, or the database can't be used.
        HeadraceError: a service didn't come up.
    """
    with _alone(home):
        said = _read(home)
        if said is None:
            _sweep(home)
            starts: AbstractContextManager[None] = (
                alone_choosing()
            )  # until all listen, so that two stacks don't choose alike
        else:
            _refuse_other(home, said, settings)
            starts = contextlib.nullcontext()
        with starts:
            return _bring_up(home, said or _launch(home, settings))


def _bring_up(home: Home, said: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that a supervisor was told of, running and answering."""
    all_services = [Service(s["name"], [], s["address"], s["health"], {}, s["later"])
                    for s in said["services"]]  # fmt: skip
    supervisor = _Supervisor(home)
    _await(home, supervisor, [s for s in all_services if not s.later])
    _make_pools(said["prefect_api"])
    if not said["resumed"]:  # also where an `up` was killed before it came to that
        _resume_runs(said["prefect_api"])
        said["resumed"] = True
        storage.write_json(_state(home), said)
    _await(home, supervisor, all_services)
    storage.write_json(_state(home), {**said, "ready": True})
    states = supervisor.processes()
    return [
        {
            "name": s.name,
            "address": s.address,
            "pid": states[s.name]["pid"],
            "state": states[s.name]["statename"].lower(),
        }
        for s in all_services
    ]


def _refuse_other(home: Home, said: dict[str, Any], settings: StackSettings) -> None:
    """Nothing, where a stack that runs is what is asked for.

    Raises:
        UsageError: it has other ports or another database.
    """
    ports = {name: port for name, port in settings.ports.items() if said["ports"][name] != port}
    if ports or (settings.database and settings.database != _kept_database(home)):
        what = "another database" if not ports else f"other ports: {said['ports']}"
        raise UsageError(f"the stack is up with {what}", "end it first: `headrace down`")


def _launch(home: Home, settings: StackSettings) -> dict[str, Any]:
    """Start a supervisor with everything; what stack.json says of it."""
    database = _choose_database(home, settings.database)
    ports = choose_ports(DEFAULT_PORTS, {str(k): v for k, v in settings.ports.items()})
    mark = secrets.token_hex(8)
    all_services = services(home, ports, database)
    for folder in ("stack", "prefect", "logs/stack", "spark/events", "mlartifacts", "inbox"):
        (home.root / folder).mkdir(parents=True, exist_ok=True)
    for service in all_services:
        (_folder(home) / service.name).mkdir(exist_ok=True)
    configuration = _folder(home) / "supervisor.conf"
    # Before anything runs, so that a kill here leaves nothing that `down` doesn't know of.
    storage.write_json(_state(home), {"home": str(home.root), "mark": mark, "ready": False})
    # It may hold the database's password.
    storage.write_bytes(configuration, b"")
    configuration.chmod(0o600)
    configuration.write_text(_configuration(home, all_services))
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        env=environment(home, ports, mark),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        check=True,
    )
    pid_file, end = _folder(home) / "supervisor.pid", time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text().strip() and _socket(home).exists()):
        if time.monotonic() > end:
            raise HeadraceError(
                "the supervisor did not start", f"see {home.logs / 'stack' / 'supervisor.log'}"
            )
        time.sleep(0.1)
    pid = int(pid_file.read_text())
    said = {
        "home": str(home.root),
        "pid": pid,
        "created": psutil.Process(pid).create_time(),
        "mark": mark,
        "ready": False,
        "resumed": False,
        "ports": ports,
        "prefect_api": f"http://{HOST}:{ports['prefect']}/api",
        "tracking_uri": f"http://{HOST}:{ports['mlflow']}",
        "spark_master": f"spark://{HOST}:{ports['spark_master']}",
        "event_log": str(event_log(home)),
        "services": [
            {"name": s.name, "address": s.address, "health": s.health, "later": s.later}
            for s in all_services
        ],
    }
    storage.write_json(_state(home), said)
    return said


def answers(url: str, seconds: float = 3.0) -> bool:
    """Whether a server answers at a URL, with whatever status."""
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
    return True


def listens(pid: int, url: str) -> bool:
    """Whether a process is the one that listens at a URL's port."""
    with contextlib.suppress(psutil.Error):
        places = psutil.Process(pid).net_connections("tcp")
        port = urlsplit(url).port
        return any(p.status == psutil.CONN_LISTEN and p.laddr.port == port for p in places)
    return False


def _await(home: Home, supervisor: _Supervisor, some: list[Service]) -> None:
    """Start services and return when each runs and answers.

    Raises:
        HeadraceError: one doesn't; its log is named.
    """
    for service in some:
        supervisor.start(service.name)
    left, end = list(some), time.monotonic() + START_SECONDS
    with console.Progress("stack: start", len(some), "services") as progress:
        while left:
            states = supervisor.processes()
            ready = [
                s
                for s in left
                if states[s.name]["statename"] == "RUNNING"
                # Another's server at the same port would answer as well.
                and (
                    not s.health or (listens(states[s.name]["pid"], s.health) and answers(s.health))
                )
            ]
            for service in ready:
                left.remove(service)
                progress.advance(1, service.name)
            if left and time.monotonic() > end:
                log = home.logs / "stack" / f"{left[0].name}.log"
                raise HeadraceError(
                    f"{left[0].name} does not answer after {START_SECONDS:.0f} s",
                    f"see {log}; `headrace down` ends the rest",
                )
            time.sleep(0.25)


def _make_pools(api: str) -> None:
    """The work pools, one run at a time each."""
    for pool in POOLS:
        body = {"name": pool, "type": "process", "concurrency_limit": 1}
        request(api, "POST", "/work_pools/", body, allow=(409,))  # it is there already
        request(api, "PATCH", f"/work_pools/{pool}", {"concurrency_limit": 1})


def _resume_runs(api: str) -> None:
    """Have runs that the last stack took along begin again: they go on from what is on disk.

    No worker of this state folder is running yet, so none of these runs can be alive.
    """
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}},
        "work_pools": {"name": {"any_": list(POOLS)}},
    }
    for run in request(api, "POST", "/flow_runs/filter", wanted):
        ends = run["state"]["type"] == "CANCELLING"
        state = {"type": "CANCELLED"} if ends else {"type": "SCHEDULED", "name": "AwaitingRetry"}
        request(api, "POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def down(home: Home) -> list[str]:
    """End the stack and all that it started; the names of what ran. Nothing to end is fine.

    Raises:
        HeadraceError: a process doesn't go.
    """
    with _alone(home):
        said = _read(home)
        names: list[str] = []
        if said is not None:
            names = [s["name"] for s in said["services"]]
            storage.write_json(_state(home), {**said, "ready": False})
            with console.Progress("stack: stop"):
                _stop(home, said)
        _sweep(home)
        return names


def _stop(home: Home, said: dict[str, Any]) -> None:
    """Workers first, so that their runs can still say how they ended; then the rest."""
    with contextlib.suppress(OSError, xmlrpc.client.Error):
        supervisor = _Supervisor(home)
        for pool in POOLS:
            with contextlib.suppress(xmlrpc.client.Fault):
                supervisor.rpc.supervisor.stopProcess(f"worker-{pool}", True)
        supervisor.rpc.supervisor.shutdown()
    with contextlib.suppress(psutil.Error):
        psutil.Process(said["pid"]).wait(STOP_SECONDS)


def _sweep(home: Home) -> None:
    """End what a stack of this folder left behind, by the mark that it gave, and its files."""
    try:
        said = storage.read_json(_state(home))
    except (OSError, ValueError):
        said = {}
    if said.get("home") == str(home.root):
        _end_marked(said["mark"])
    for path in (_state(home), _folder(home) / "supervisor.pid", _socket(home),
                 _folder(home) / "supervisor.conf"):  # fmt: skip
        path.unlink(missing_ok=True)


def _end_marked(mark: str) -> None:
    left = list(_marked(mark))
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, 5)
    for process in [*stubborn, *_marked(mark)]:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, stubborn = psutil.wait_procs(stubborn, 10)
    if stubborn:
        raise HeadraceError(f"process {stubborn[0].pid} does not end", "end it by hand")


def _marked(mark: str) -> Iterator[psutil.Process]:
    """Processes whose environment has a stack's mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                yield process


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────


def _choose_database(home: Home, asked: str | None) -> str | None:
    """The database server to use; its databases are made where they are missing.

    Raises:
        UsageError: it isn't PostgreSQL, doesn't answer, or the state is kept elsewhere already.
    """
    before = _kept_database(home)
    if asked is None or asked == before:
        database = before
    elif before is not None or (home.root / "mlflow.db").exists():
        raise UsageError(
            "this state folder keeps its runs and models in another database already",
            "leave `database` out, or begin with a new HEADRACE_HOME",
        )
    else:
        database = asked
    if database is not None:
        _make_databases(database)
        storage.write_private(_kept(home), {"database": database})
    return database


def _make_databases(database: str) -> None:
    where = urlsplit(database)
    if where.scheme not in ("postgresql", "postgres") or not where.hostname:
        raise UsageError(
            f"database: {where.scheme or 'no scheme'} is not PostgreSQL",
            "give postgresql://USER:PASSWORD@HOST:PORT",
        )
    import psycopg2
    from psycopg2 import sql

    try:
        connection = psycopg2.connect(database.rstrip("/") + "/postgres", connect_timeout=5)
    except psycopg2.Error as error:
        first = (str(error).strip().splitlines() or ["no answer"])[0]
        raise UsageError(
            f"PostgreSQL at {where.hostname}:{where.port or 5432}: {first}",
            "start it, or mend user and password",
        ) from None
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        for name in ("headrace_prefect", "headrace_mlflow"):
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
