"""The record of a stack: where everything answers, and whose it is.

It is `stack/stack.json` in the state folder.

It counts only for the folder that it was written for, by whatever path that is reached, and while
its supervisor lives: a copied folder, or one left behind by a crash, is not taken for a stack.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, ConfigDict, Field

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.files import quarantine
from headrace.infra.stack.folder_id import folder_id
from headrace.infra.stack.pools import PoolsSettings
from headrace.infra.stack.services import MARK, Service
from headrace.infra.state.lock import is_held
from headrace.infra.state.owner import Owner, alive_lock, here, other_owner
from headrace.infra.state.state_dir import Home


class RecordedService(BaseModel):
    """A service that the supervisor runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    """Where a person finds it; empty: it only helps another."""
    health: str | None
    later: bool

    @classmethod
    def of(cls, service: Service) -> RecordedService:
        """Return what is recorded of a service."""
        return cls(
            name=service.name, address=service.address, health=service.health, later=service.later
        )

    def service(self) -> Service:
        """Return the service, without what only a supervisor needs to start it."""
        return Service(self.name, [], self.address, self.health, {}, self.later)


class Record(BaseModel):
    """What stack.json holds; before there is a supervisor only the first fields."""

    model_config = ConfigDict(frozen=True, extra="allow")

    home: str
    folder: str | None = None
    """See folder_id.py."""
    owner: Owner | None = None
    """None: an older version wrote it, which asks for no password."""
    mark: str
    ready: bool
    pid: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    prefect_api: str = ""
    tracking_uri: str = ""
    spark_master: str = ""
    event_log: str = ""
    services: list[RecordedService] = Field(default_factory=list)
    pools: PoolsSettings | None = None
    """None, as of the two below: an older version wrote it."""
    retention: dict[str, int] | None = None
    variables: list[str] | None = None

    def serves(self, name: str) -> bool:
        """Whether a service of this name is one of the stack's own."""
        return any(service.name == name for service in self.services)


def path(home: Home) -> Path:
    """Return the file of the record."""
    return home.stack / "stack.json"


def write(home: Home, record: Record) -> None:
    """Write the record of a stack."""
    known = record.model_dump(mode="json", include=record.model_fields_set)
    storage.write_json(path(home), known)


def _checked(value: object) -> Record:
    record = Record.model_validate(value, strict=True)
    if record.pid is not None and not (record.prefect_api and record.tracking_uri):
        raise ValueError("it doesn't say what runs")
    return record


def read(home: Home) -> Record | None:
    """Return the record; None without one, and where it is that of a folder this is a copy of.

    Raises:
        UsageError: it can't be read, being another account's, or its stack can't be seen from here
            and may be alive.
    """
    file = path(home)
    try:
        file.open("rb").close()
    except PermissionError:
        whose = other_owner(file, home.stack, home.root) or "another account"
        raise UsageError(
            f"the stack of {home.root} can't be seen by you: {file} belongs to {whose}",
            f"run it as {whose}, or set HEADRACE_HOME to a folder of your own",
        ) from None
    except OSError:
        pass
    record = quarantine.read(file, _checked)
    if record is None:
        return None
    by = record.owner or here()
    sight = by.sight(here())
    if sight == "visible":
        return record if _is_own(home, record) or _has_lost_folder(record) else None
    if not _is_own(home, record) or sight == "rebooted":
        return None
    if sight == "container" and not is_held(alive_lock(home)):
        return None  # the container has ended, and all in it
    place = ", in another container" if sight == "container" else ""
    raise UsageError(
        f"the stack of {home.root} is run by {by}{place}, and can't be seen from here",
        f"stop it as {by.user} there: `headrace down`; if you are sure that none of it still runs, "
        f"remove {file}",
    )


def alive(home: Home) -> Record | None:
    """Return the record of a stack whose supervisor lives, None where none does."""
    record = read(home)
    return record if record is not None and _supervisor(record) is not None else None


def running(home: Home) -> Record | None:
    """Return the record of the stack of a state folder, None where it isn't up.

    Raises:
        UsageError: it can't be seen from here and may be alive, or it was started where the folder
            no longer is.
    """
    record = alive(home)
    if record is None or not record.ready:
        return None
    refuse_moved(home, record)
    return record


def refuse_moved(home: Home, record: Record) -> None:
    """Raise if the folder was moved under its stack, which still looks for it at the old place.

    Raises:
        UsageError: it was.
    """
    try:
        moved = not Path(record.home).samefile(home.root)
    except OSError:
        moved = True
    if moved:
        raise UsageError(
            f"{home.root} was moved while its stack was up, which was started at {record.home}",
            "`headrace down`, then `headrace up`",
        )


def works_in(process: psutil.Process, home: Home) -> bool:
    """Whether a process's working directory is the state folder, by whatever path."""
    try:
        return Path(f"/proc/{process.pid}/cwd").samefile(home.root)
    except OSError:
        return False


def _is_own(home: Home, record: Record) -> bool:
    """Whether a record was written for this folder, not for one that this is a copy of."""
    if record.folder is not None and record.folder == folder_id(home):
        return True
    if record.folder is None and record.home == str(home.root):
        return True
    # Some network disks renumber their folders: there the living supervisor knows better.
    process = _supervisor(record)
    return process is not None and works_in(process, home)


def _supervisor(record: Record) -> psutil.Process | None:
    """Return the supervisor that a record names, None where it doesn't live."""
    if record.pid is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        process = psutil.Process(record.pid)
        other = record.owner is not None and process.uids().real != record.owner.uid
        if other or process.status() == psutil.STATUS_ZOMBIE:
            return None
        try:
            # By its mark: a time of start would not be the same after the clock was set.
            return process if process.environ()[MARK] == record.mark else None
        except psutil.AccessDenied:
            return process  # what can't be seen isn't known to be another
    return None


def _has_lost_folder(record: Record) -> bool:
    """Whether a supervisor lives whose folder is no more: it was moved to another disk."""
    process = _supervisor(record)
    try:
        return process is not None and Path(f"/proc/{process.pid}/cwd").stat().st_nlink == 0
    except OSError:
        return False
