"""The local stack: Prefect, MLflow and a Spark cluster under a supervisor, all on loopback.

What runs is declared in services.py; a supervisor starts it and brings back what dies.
`stack/stack.json` in the state folder says where everything answers, who started it and where. It
counts only for the folder that it was written for, by whatever path that is reached, and while its
supervisor lives: a copied folder, or one left behind by a crash, is not taken for a stack. Nothing
is removed of a stack that can't be seen from here, since it may be alive.
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
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field

from headrace.infra import console, storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.files import quarantine
from headrace.infra.net import credentials, servers
from headrace.infra.net.addresses import shown
from headrace.infra.net.credentials import Credentials
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import HOST, alone_choosing, choose_ports
from headrace.infra.net.servers import Server
from headrace.infra.spark import auth
from headrace.infra.stack import database, pools
from headrace.infra.stack.folder_id import folder_id, make_folder_id
from headrace.infra.stack.pools import PoolsSettings
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
from headrace.infra.state.lock import exclusive, is_held
from headrace.infra.state.owner import Owner, alive_lock, here, other_owner
from headrace.infra.state.state_dir import Home

_CHECKS = {"prefect": servers.check_prefect, "mlflow": servers.check_mlflow}
START_SECONDS = 300.0
STOP_SECONDS = 60.0
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
    """Names of further environment variables that its processes and runs find. Of the shell that
    calls `up` they find those of services.PASSED only: what runs, and the keys of S3."""


@dataclass(frozen=True)
class Stack:
    """A stack that is up: where its servers answer."""

    prefect_api: str
    tracking_uri: str
    spark_master: str
    event_log: str
    services: tuple[dict[str, str], ...]


def _state(home: Home) -> Path:
    return home.stack / "stack.json"


class _Service(BaseModel):
    name: str
    address: str
    health: str | None
    later: bool


class _Record(BaseModel):
    """What stack.json has to hold; before there is a supervisor only the first fields."""

    model_config = ConfigDict(extra="allow")

    home: str
    mark: str
    ready: bool
    owner: Owner | None = None
    folder: str | None = None
    """See folder_id.py."""
    pid: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    prefect_api: str = ""
    tracking_uri: str = ""
    spark_master: str = ""
    event_log: str = ""
    services: list[_Service] = Field(default_factory=list)
    pools: PoolsSettings = PoolsSettings()
    retention: dict[str, Any] | None = None
    variables: list[str] | None = None


def _checked(value: Any) -> dict[str, Any]:
    record = _Record.model_validate(value, strict=True)
    if record.pid is not None and not (record.prefect_api and record.tracking_uri):
        raise ValueError("it doesn't say what runs")
    return dict(value)


def _read(home: Home) -> dict[str, Any] | None:
    """What stack.json says; None without one, and where it is that of a folder this is a copy of.

    Raises:
        UsageError: it can't be read, being another account's, or its stack can't be seen from here
            and may be alive.
    """
    path = _state(home)
    try:
        path.open("rb").close()
    except PermissionError:
        whose = other_owner(path, home.stack, home.root) or "another account"
        raise UsageError(
            f"the stack of {home.root} is not yours to see: {path} belongs to {whose}",
            f"run it as {whose}, or set HEADRACE_HOME to a folder of your own",
        ) from None
    except OSError:
        pass
    said = quarantine.read(path, _checked)
    if said is None:
        return None
    by = Owner(**said["owner"]) if said.get("owner") else here()
    sight = by.sight(here())
    if sight == "visible":
        return said if _is_own(home, said) or _lost(said) else None
    if not _is_own(home, said) or sight == "rebooted":
        return None
    if sight == "container" and not is_held(alive_lock(home)):
        return None  # the container has ended, and all in it
    place = ", in another container" if sight == "container" else ""
    raise UsageError(
        f"the stack of {home.root} is run by {by}{place}, and can't be seen from here",
        f"end it as {by.user} there: `headrace down`; once it is sure that nothing of it runs any "
        f"more, remove {path}",
    )


def _is_own(home: Home, said: dict[str, Any]) -> bool:
    """Whether a record was written for this folder, not for one that this is a copy of."""
    if said.get("folder") is not None and said["folder"] == folder_id(home):
        return True
    if said.get("folder") is None and said["home"] == str(home.root):
        return True
    # Some network disks number their folders anew: there the living supervisor knows better.
    process = _supervisor(said)
    return process is not None and _works_in(process, home)


def _supervisor(said: dict[str, Any]) -> psutil.Process | None:
    """The supervisor that a record names, None where it doesn't live."""
    if not said.get("pid"):
        return None
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        process = psutil.Process(said["pid"])
        by = (said.get("owner") or {}).get("uid", process.uids().real)
        if process.status() == psutil.STATUS_ZOMBIE or process.uids().real != by:
            return None
        try:
            # By its mark: a time of start would not be the same after the clock was set.
            return process if process.environ()[MARK] == said["mark"] else None
        except psutil.AccessDenied:
            return process  # what can't be seen isn't known to be another
    return None


def _works_in(process: psutil.Process, home: Home) -> bool:
    """Whether a process's working directory is the state folder, by whatever path."""
    try:
        return os.path.samestat(os.stat(f"/proc/{process.pid}/cwd"), os.stat(home.root))
    except OSError:
        return False


def _lost(said: dict[str, Any]) -> bool:
    """Whether a supervisor lives whose folder is no more: it was moved to another disk."""
    process = _supervisor(said)
    try:
        return process is not None and os.stat(f"/proc/{process.pid}/cwd").st_nlink == 0
    except OSError:
        return False


def _alive(home: Home) -> dict[str, Any] | None:
    """What stack.json says of a stack that lives, None where none does."""
    said = _read(home)
    return said if said is not None and _supervisor(said) is not None else None


def running(home: Home) -> Stack | None:
    """The stack of a state folder, None where it isn't up.

    Raises:
        UsageError: it can't be seen from here and may be alive, or it was started where the folder
            no longer is.
    """
    said = _alive(home)
    if said is None or not said["ready"]:
        return None
    _refuse_moved(home, said)
    keys = ("prefect_api", "tracking_uri", "spark_master", "event_log")
    return Stack(**{k: said[k] for k in keys}, services=tuple(said["services"]))


def _refuse_moved(home: Home, said: dict[str, Any]) -> None:
    """Raise where the folder was moved under a stack, which still looks for it there.

    Raises:
        UsageError: it was.
    """
    try:
        moved = not os.path.samefile(said["home"], home.root)
    except OSError:
        moved = True
    if moved:
        raise UsageError(
            f"{home.root} was moved while its stack was up, which began it at {said['home']}",
            "`headrace down`, then `headrace up`",
        )


def _alone(home: Home) -> AbstractContextManager[None]:
    """One `up` or `down` of a state folder at a time."""
    return exclusive(home.stack / "lock", "waiting for another up or down")


def served(home: Home) -> set[str]:
    """The work pools that the workers of the stack serve; none where it isn't up."""
    said = _alive(home)
    if said is None:
        return set()
    found = PoolsSettings.model_validate(said.get("pools") or {})
    return {pool.name for pool in found.by_role().values()}


def up(
    home: Home,
    settings: StackSettings,
    told: Collection[str] = (),
    usual: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Start what isn't running; [{name, address, pid, state}] when every service answers.

    Args:
        home: the state folder.
        settings: what it is to be; `ports`: those that have to be free.
        told: names of the settings that this call was given; others are kept ones.
        usual: ports that are taken where they are free, over DEFAULT_PORTS.

    Raises:
        UsageError: a port that was asked for is taken, or the database can't be used.
        HeadraceError: a service didn't come up.
    """
    with _alone(home):
        said = _alive(home)
        if said is None:
            _sweep(home)
            starts: AbstractContextManager[None] = (
                alone_choosing()
            )  # until all listen, so that two stacks don't choose alike
        else:
            _refuse_moved(home, said)
            _refuse_other(home, said, settings, told, os.environ)
            starts = contextlib.nullcontext()
        with starts:
            return _bring_up(home, said or _launch(home, settings, usual or {}))


def _bring_up(home: Home, said: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that a supervisor was told of, running and answering."""
    services = [Service(s["name"], [], s["address"], s["health"], {}, s["later"])
                    for s in said["services"]]  # fmt: skip
    supervisor = Supervisor(home)
    _await(home, supervisor, [s for s in services if not s.later])
    own = servers.their_prefect(os.environ) is None
    if own:
        made = credentials.make(home)
        servers.join(servers.own_prefect(said["prefect_api"], made.prefect))
    pools.make(said["prefect_api"], PoolsSettings.model_validate(said.get("pools") or {}), own)
    _await(home, supervisor, services)
    storage.write_json(_state(home), {**said, "ready": True})
    states = supervisor.processes()
    return [
        {
            "name": s.name,
            "address": s.address,
            "pid": states[s.name]["pid"],
            "state": states[s.name]["statename"].lower(),
        }
        for s in services
        if s.address
    ]


def _database(home: Home) -> str | None:
    server = database.kept(home)
    return server.database if server else None


def _refuse_other(
    home: Home,
    said: dict[str, Any],
    settings: StackSettings,
    told: Collection[str],
    environ: Mapping[str, str],
) -> None:
    """Nothing, where a stack that runs is what is asked for; a warning where that was kept only.

    Raises:
        UsageError: it has other ports, another database, other servers or other settings, or is
            open to everybody.
    """
    if not said.get("owner"):
        raise UsageError(
            f"the stack of {home.root} was started by an older version, which asks for no password",
            "`headrace down`, then `headrace up`",
        )
    for name, url in _addresses(said["ports"], environ).items():
        if said[name] != url:
            raise UsageError(
                f"the stack is up with {name} {said[name]}, not {url}",
                f"end it first: `headrace down`; or set {servers.PREFECT} and {servers.MLFLOW} as "
                "they were when it was started",
            )
    ports = {name: port for name, port in settings.ports.items() if said["ports"][name] != port}
    asked = settings.database or database.from_environment()
    if ports or (asked and asked != _database(home)):
        what = "another database" if not ports else f"other ports: {said['ports']}"
        raise UsageError(f"the stack is up with {what}", "end it first: `headrace down`")
    now = settings.model_dump(mode="json")
    for name in ("pools", "retention", "variables"):
        if said.get(name) in (None, now[name]):  # None: an older version started it
            continue
        if name in told:
            raise UsageError(
                f"the stack is up with other {name}: {said[name]}",
                "end it first: `headrace down`; then the same again",
            )
        hint = "`headrace down`, then `headrace up`"
        logger.warning("the stack is up with other %s than are kept now: %s", name, hint)


def _addresses(ports: Mapping[str, int], environ: Mapping[str, str]) -> dict[str, str]:
    """Prefect's API and MLflow's tracking URI: another's that is named, or the stack's own."""
    prefect, mlflow = servers.their_prefect(environ), servers.their_mlflow(environ)
    return {
        "prefect_api": prefect.url if prefect else f"http://{HOST}:{ports['prefect']}/api",
        # That of a database may hold a password.
        "tracking_uri": shown(mlflow.url) if mlflow else f"http://{HOST}:{ports['mlflow']}",
    }


def _servers_of(made: Credentials, addresses: Mapping[str, str]) -> dict[str, Server]:
    """Prefect's and MLflow's server, as the processes of the stack reach them."""
    return {
        "prefect": servers.their_prefect(os.environ)
        or servers.own_prefect(addresses["prefect_api"], made.prefect),
        "mlflow": servers.their_mlflow(os.environ)
        or servers.own_mlflow(addresses["tracking_uri"], made.mlflow_password),
    }


def _launch(home: Home, settings: StackSettings, usual: Mapping[str, int]) -> dict[str, Any]:
    """Start a supervisor with everything; what stack.json says of it."""
    server = database.choose(home, settings.database or database.from_environment())
    ports = choose_ports({**DEFAULT_PORTS, **usual}, {str(k): v for k, v in settings.ports.items()})
    mark = secrets.token_hex(8)
    of = {
        "home": str(home.root),
        "folder": make_folder_id(home),
        "owner": here().model_dump(),
        "mark": mark,
        "ready": False,
    }
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
    storage.write_json(_state(home), of)
    reach = servers.environment(used.values())
    env = environment(home, mark, reach, os.environ, settings.variables)
    process = launch(home, services, env)
    said = {
        **of,
        "pid": process.pid,
        "ports": ports,
        **addresses,
        **settings.model_dump(mode="json", include={"pools", "retention", "variables"}),
        "spark_master": master_of(ports),
        "event_log": str(event_log(home)),
        "services": [
            {"name": s.name, "address": s.address, "health": s.health, "later": s.later}
            for s in services
        ],
    }
    storage.write_json(_state(home), said)
    return said


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


def down(home: Home) -> list[str]:
    """End the stack and all that it started; the names of what ran. Nothing to end is fine.

    Raises:
        HeadraceError: a process doesn't go.
    """
    if not home.begun():
        return []
    with _alone(home):
        said = _alive(home)
        names: list[str] = []
        if said is not None:
            names = [s["name"] for s in said["services"] if s["address"]]
            storage.write_json(_state(home), {**said, "ready": False})
            with console.Progress("stack: stop"):
                _stop(home, said)
        _sweep(home)
        return names


def _stop(home: Home, said: dict[str, Any]) -> None:
    """Workers first, so that their runs can still say how they ended; then the rest."""
    with contextlib.suppress(OSError, xmlrpc.client.Error):
        supervisor = Supervisor(home)
        for role in pools.ROLES:
            supervisor.stop(f"worker-{role}")
        supervisor.shutdown()
        with contextlib.suppress(psutil.Error):
            psutil.Process(said["pid"]).wait(STOP_SECONDS)


def _sweep(home: Home) -> None:
    """End what a stack of this folder left behind, and remove its files.

    By the mark that it gave, and where its record is gone by its working directory.

    Raises:
        UsageError: see `_read`.
        HeadraceError: a process doesn't end.
    """
    said = _read(home)
    marks = {said["mark"]} if said is not None else set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK)
            if mark and _works_in(process, home):
                marks.add(mark)
    for mark in marks:
        _end_marked(mark)
    forget(home)
    auth.forget(home)
    _state(home).unlink(missing_ok=True)


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
