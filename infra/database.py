"""Where Prefect and MLflow keep what they know: SQLite files, or databases of a PostgreSQL server.

Each state folder has databases of its own, so that several may use one server.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.home import Home


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that a state folder keeps its runs and models on."""

    database: str
    """postgresql://USER:PASSWORD@HOST:PORT"""
    suffix: str
    """What the names of this state folder's databases end with."""
    home: str
    """The state folder."""

    @property
    def names(self) -> tuple[str, str]:
        """(Prefect's, MLflow's) database."""
        return f"headrace_prefect_{self.suffix}", f"headrace_mlflow_{self.suffix}"


def _file(home: Home) -> Path:
    return home.stack / "database.json"


def kept(home: Home) -> Server | None:
    """The server of a state folder, None where its files are SQLite's.

    Raises:
        UsageError: the folder is a copy, and the databases are the original's.
    """
    path = _file(home)
    if not path.exists():
        return None
    server = Server(**storage.read_json(path))
    if server.home != str(home.root):
        raise UsageError(
            f"{home.root} is a copy of {server.home}, whose runs and models stand in PostgreSQL",
            f"use {server.home}; where that was moved here, write the new place into {path}",
        )
    return server


def stores(home: Home, server: Server | None) -> tuple[str, str]:
    """(Prefect's, MLflow's) database URL."""
    if server is None:
        return f"sqlite+aiosqlite:///{home.root / 'prefect' / 'prefect.db'}", home.mlflow_uri
    rest = server.database.split("://", 1)[1].rstrip("/")
    prefect, mlflow = server.names
    return f"postgresql+asyncpg://{rest}/{prefect}", f"postgresql+psycopg2://{rest}/{mlflow}"


def choose(home: Home, asked: str | None) -> Server | None:
    """The server to use; this folder's databases are made where they are missing.

    Raises:
        UsageError: it isn't PostgreSQL, doesn't answer or doesn't allow it, or the state is kept
            elsewhere already.
    """
    server = kept(home)
    if asked is not None and (server is None or asked != server.database):
        if server is not None or (home.root / "mlflow.db").exists():
            raise UsageError(
                "this state folder keeps its runs and models in another database already",
                "leave `database` out, or begin with a new HEADRACE_HOME",
            )
        server = Server(asked, secrets.token_hex(4), str(home.root))
    if server is not None:
        with _connected(server) as cursor:
            # Named before they are made, so that a kill leaves none that nobody knows of.
            storage.write_private(_file(home), asdict(server))
            for name in server.names:
                cursor.execute("select 1 from pg_database where datname = %s", (name,))
                if not cursor.fetchone():
                    cursor.execute(f'create database "{name}"')
    return server


def _where(database: str) -> str:
    """HOST:PORT of the server."""
    hint = "give postgresql://USER:PASSWORD@HOST:PORT, / # ? @ in the password percent-encoded"
    where = urlsplit(database)
    if where.scheme not in ("postgresql", "postgres"):
        raise UsageError(f"database: {where.scheme or 'no scheme'} is not PostgreSQL", hint)
    try:
        place = f"{where.hostname}:{where.port or 5432}"
    except ValueError:  # it names what it takes for the port, which may be the password
        place = ""
    odd = where.path.strip("/") or where.query or where.fragment or "@" in (where.password or "")
    if not where.hostname or not place or odd or any(c in database for c in " \t\n\"'"):
        raise UsageError("database: this is no address of a PostgreSQL server", hint)
    return place


@contextlib.contextmanager
def _connected(server: Server) -> Iterator[Any]:
    """A cursor on the server, whose faults are said in a sentence without the password."""
    place = _where(server.database)
    import psycopg2

    try:
        address = server.database.rstrip("/") + "/postgres"
        connection = psycopg2.connect(address, connect_timeout=5)
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        first = (str(error).strip().splitlines() or ["no answer"])[0]
        raise UsageError(
            f"PostgreSQL at {place}: {first}",
            "start it, correct user and password, or let the user create databases",
        ) from None
