"""The local stack: Prefect, MLflow and a Spark cluster under a supervisor, all on loopback.

What runs is declared in services.py; a supervisor starts it and brings back what dies. record.py
says where everything answers, who started it and where. Nothing is removed of a stack that can't be
seen from here, since it may be alive.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
import xmlrpc.client  # nosec B411 # only its faults are caught here
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Literal

import psutil
from pydantic import Field

from headrace.infra import console
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.net import credentials, servers
from headrace.infra.net.addresses import shown
from headrace.infra.net.credentials import Credentials
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import HOST, alone_choosing, choose_ports
from headrace.infra.net.servers import Server
from headrace.infra.spark import auth
from headrace.infra.stack import database, pools, record
from headrace.infra.stack.folder_id import make_folder_id
from headrace.infra.stack.pools import PoolsSettings
from headrace.infra.stack.record import Record, RecordedService
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.stack.services import (
    DEFAULT_PORTS,
    MARK,
    Service,
    all_services,
    environment,
    event_log,
    master_of,
)
from headrace.infra.stack.supervisor import Supervisor, forget, launch, listens
from headrace.infra.state.lock import exclusive
from headrace.infra.state.owner import here
from headrace.infra.state.state_dir import Home

_CHECKS = {"prefect": servers.check_prefect, "mlflow": servers.check_mlflow}
START_SECONDS = 300.0
STOP_SECONDS = 60.0
_KEPT = ("pools", "retention", "variables")
"""Settings that are kept, and that a stack which is up may have other values of."""
logger = logging.getLogger(__name__)


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
        Annotated[int, Field(ge=1, le=65535)],
    ] = Field(default_factory=dict)
    """Ports, as `{prefect: 4300}`; without one the usual port, or the next that is free."""
    database: str | None = Field(default=None, repr=False)
    """PostgreSQL for Prefect and MLflow, as `postgresql://USER:PASSWORD@HOST:PORT`, with `/NAME`
    for an existing database, with `?sslmode=verify-full&sslrootcert=FILE` for a verified server;
    None: what HEADRACE_DATABASE or HEADRACE_DATABASE_FILE says, else SQLite files in the state
    folder. It is chosen once, before there is anything to keep; with a password not on the command
    line."""
    retention: RetentionSettings = RetentionSettings()
    """How long what nothing needs any more is kept."""
    pools: PoolsSettings = PoolsSettings()
    """Work pools that its workers serve."""
    variables: tuple[str, ...] = ()
    """Names of further environment variables that its processes and runs get. Of the shell that
    calls `up` they find those of services.PASSED only: what runs, and the keys of S3."""


@dataclass(frozen=True)
class ServiceState:
    """A service that runs."""

    name: str
    address: str
    """Where a person finds it."""
    pid: int
    state: str
    """The supervisor's word for it, in lower case."""


@dataclass(frozen=True)
class _Addresses:
    """Where Prefect and MLflow answer."""

    prefect_api: str
    tracking_uri: str


def _alone(home: Home) -> AbstractContextManager[None]:
    """One `up` or `down` of a state folder at a time."""
    return exclusive(home.stack / "lock", "waiting for another up or down")


def served(home: Home) -> set[str]:
    """Return the work pools that the workers of the stack serve; none where it isn't up."""
    known = record.alive(home)
    if known is None:
        return set()
    return {pool.name for pool in (known.pools or PoolsSettings()).by_role().values()}


def up(
    home: Home,
    settings: StackSettings,
    given: Collection[str] = (),
    usual: Mapping[str, int] | None = None,
) -> list[ServiceState]:
    """Start what isn't running; return the services when every one of them answers.

    Args:
        home: the state folder.
        settings: what it is to be; `ports`: those that have to be free.
        given: names of the settings that this call was given; others are kept ones.
        usual: ports that are taken where they are free, over DEFAULT_PORTS.

    Raises:
        UsageError: a port that was asked for is taken, or the database can't be used.
        HeadraceError: a service didn't come up.
    """
    with _alone(home):
        known = record.alive(home)
        if known is not None:
            record.refuse_moved(home, known)
            _refuse_other(home, known, settings, given, os.environ)
            return _bring_up(home, known)
        _sweep(home)
        with alone_choosing():  # until all listen, so that two stacks don't choose alike
            return _bring_up(home, _launch(home, settings, usual or {}))


def _bring_up(home: Home, known: Record) -> list[ServiceState]:
    """Start what a supervisor is to run; return it when it answers."""
    services = [recorded.service() for recorded in known.services]
    supervisor = Supervisor(home)
    _await(home, supervisor, [s for s in services if not s.later])
    own = servers.their_prefect(os.environ) is None
    if own:
        made = credentials.make(home)
        servers.join(servers.own_prefect(known.prefect_api, made.prefect))
    pools.make(known.prefect_api, known.pools or PoolsSettings(), own)
    _await(home, supervisor, services)
    record.write(home, known.model_copy(update={"ready": True}))
    states = supervisor.processes()
    return [
        ServiceState(s.name, s.address, states[s.name].pid, states[s.name].state.lower())
        for s in services
        if s.address
    ]


def _database(home: Home) -> str | None:
    server = database.kept(home)
    return server.database if server else None


def _refuse_other(
    home: Home,
    known: Record,
    settings: StackSettings,
    given: Collection[str],
    environ: Mapping[str, str],
) -> None:
    """Raise unless a stack that runs is what is asked for; warn where only kept settings differ.

    Raises:
        UsageError: it has other ports, another database, other servers or other settings, or is
            open to everybody.
    """
    if known.owner is None:
        raise UsageError(
            f"the stack of {home.root} was started by an older version, which asks for no password",
            "`headrace down`, then `headrace up`",
        )
    asked_addresses = _addresses(known.ports, environ)
    for name, url, asked_url in (
        ("prefect_api", known.prefect_api, asked_addresses.prefect_api),
        ("tracking_uri", known.tracking_uri, asked_addresses.tracking_uri),
    ):
        if url != asked_url:
            raise UsageError(
                f"the stack is up with {name} {url}, not {asked_url}",
                f"end it first: `headrace down`; or set {servers.PREFECT} and {servers.MLFLOW} as "
                "they were when it was started",
            )
    ports = {name: port for name, port in settings.ports.items() if known.ports[name] != port}
    asked = settings.database or database.from_environment()
    if ports or (asked and asked != _database(home)):
        what = "another database" if not ports else f"other ports: {known.ports}"
        raise UsageError(f"the stack is up with {what}", "end it first: `headrace down`")
    up, now = (of.model_dump(mode="json", include=set(_KEPT)) for of in (known, settings))
    for name in _KEPT:
        if up[name] in (None, now[name]):  # None: an older version started it
            continue
        if name in given:
            raise UsageError(
                f"the stack is up with other {name}: {up[name]}",
                "end it first: `headrace down`; then run the same command",
            )
        hint = "`headrace down`, then `headrace up`"
        logger.warning("the stack is up with other %s than are kept now: %s", name, hint)


def _addresses(ports: Mapping[str, int], environ: Mapping[str, str]) -> _Addresses:
    """Prefect's API and MLflow's tracking URI: another's that is named, or the stack's own."""
    prefect, mlflow = servers.their_prefect(environ), servers.their_mlflow(environ)
    return _Addresses(
        prefect.url if prefect else f"http://{HOST}:{ports['prefect']}/api",
        # That of a database may hold a password.
        shown(mlflow.url) if mlflow else f"http://{HOST}:{ports['mlflow']}",
    )


def _servers_of(made: Credentials, addresses: _Addresses) -> dict[str, Server]:
    """Prefect's and MLflow's server, as the processes of the stack reach them."""
    return {
        "prefect": servers.their_prefect(os.environ)
        or servers.own_prefect(addresses.prefect_api, made.prefect),
        "mlflow": servers.their_mlflow(os.environ)
        or servers.own_mlflow(addresses.tracking_uri, made.mlflow_password),
    }


def _launch(home: Home, settings: StackSettings, usual: Mapping[str, int]) -> Record:
    """Start a supervisor with everything; return its record."""
    server = database.choose(home, settings.database or database.from_environment())
    ports = choose_ports({**DEFAULT_PORTS, **usual}, {str(k): v for k, v in settings.ports.items()})
    mark = secrets.token_hex(8)
    begun = Record(
        home=str(home.root), folder=make_folder_id(home), owner=here(), mark=mark, ready=False
    )
    made, addresses = credentials.make(home, anew=True), _addresses(ports, os.environ)
    used = _servers_of(made, addresses)
    theirs = [name for name, found in used.items() if not found.own]
    for name in theirs:
        _CHECKS[name](used[name])
    auth.write(home, master_of(ports), made)
    services = all_services(home, ports, server, settings.pools, theirs, settings.retention)
    for folder in ("stack", "prefect", "logs/stack", "spark/events", "mlartifacts", "inbox"):
        (home.root / folder).mkdir(parents=True, exist_ok=True)
    for service in services:
        (home.stack / service.name).mkdir(exist_ok=True)
    # Before anything runs, so that a kill here leaves nothing that `down` doesn't know of.
    record.write(home, begun)
    reach = servers.environment(used.values())
    env = environment(home, mark, reach, os.environ, settings.variables)
    process = launch(home, services, env)
    known = begun.model_copy(
        update={
            "pid": process.pid,
            "ports": ports,
            "prefect_api": addresses.prefect_api,
            "tracking_uri": addresses.tracking_uri,
            "pools": settings.pools,
            "retention": settings.retention.model_dump(),
            "variables": list(settings.variables),
            "spark_master": master_of(ports),
            "event_log": str(event_log(home)),
            "services": [RecordedService.of(service) for service in services],
        }
    )
    record.write(home, known)
    return known


def _await(home: Home, supervisor: Supervisor, some: list[Service]) -> None:
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
                if states[s.name].state == "RUNNING"
                # Another's server at the same port would answer as well.
                and (not s.health or (listens(states[s.name].pid, s.health) and answers(s.health)))
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


def down(home: Home) -> list[str]:
    """End the stack and all that it started; the names of what ran. Nothing to end is fine.

    Raises:
        HeadraceError: a process doesn't go.
    """
    if not home.begun():
        return []
    with _alone(home):
        known = record.alive(home)
        names: list[str] = []
        if known is not None:
            names = [service.name for service in known.services if service.address]
            record.write(home, known.model_copy(update={"ready": False}))
            with console.Progress("stack: stop"):
                _stop(home, known)
        _sweep(home)
        return names


def _stop(home: Home, known: Record) -> None:
    """End the workers first, so that their runs can still say how they ended; then the rest."""
    with contextlib.suppress(OSError, xmlrpc.client.Error):
        supervisor = Supervisor(home)
        for role in pools.ROLES:
            supervisor.stop(f"worker-{role}")
        supervisor.shutdown()
        with contextlib.suppress(psutil.Error):
            psutil.Process(known.pid).wait(STOP_SECONDS)


def _sweep(home: Home) -> None:
    """End what a stack of this folder left behind, and remove its files.

    By the mark that it gave, and where its record is gone by its working directory.

    Raises:
        UsageError: see `record.read`.
        HeadraceError: a process doesn't end.
    """
    known = record.read(home)
    marks = {known.mark} if known is not None else set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK)
            if mark and record.works_in(process, home):
                marks.add(mark)
    for mark in marks:
        _end_marked(mark)
    forget(home)
    auth.forget(home)
    record.path(home).unlink(missing_ok=True)


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
    """Return processes whose environment has a stack's mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                yield process
