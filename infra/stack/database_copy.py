"""A consistent copy of what Prefect and MLflow keep in their databases, made while they write.

SQLite's own backup gives one state of a file, whatever writes to it meanwhile; of PostgreSQL
`pg_dump` does. Nothing is stopped, and no writer waits for longer than the copy of one SQLite file
takes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headrace.infra import storage
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.stack import database
from headrace.infra.stack.database import Server
from headrace.infra.state.state_dir import Home

FILES = ("mlflow.db", "prefect/prefect.db")
"""The SQLite files of a state folder, by their paths in it."""
DUMPS = ("prefect.dump", "mlflow.dump")
"""What `pg_dump` wrote of Prefect's and MLflow's database, or schema, in PostgreSQL."""


def copy(home: Home, folder: Path) -> tuple[str, ...]:
    """Copy the databases of a state folder into `folder`; the paths there of what was made.

    Raises:
        UsageError: PostgreSQL keeps them, and its client programs are not installed.
        HeadraceError: a database can't be copied.
    """
    server = database.kept(home)
    if server is None:
        found = tuple(name for name in FILES if (home.root / name).exists())
        for name in found:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_sqlite(home.root / name, folder / name)
        return found
    program = _program("pg_dump")
    for name, dump in zip(server.names, DUMPS, strict=True):
        only = [f"--schema={name}"] if server.address.name else []
        into = ["--format=custom", f"--file={folder / dump}", "--no-password"]
        _run([program, *into, *only], server, server.address.name or name)
        storage.sync(folder / dump)
    return DUMPS


def _copy_sqlite(source: Path, target: Path) -> None:
    """One consistent state of a SQLite file, what stands in its write-ahead log included."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.execute("pragma busy_timeout = 60000")
            old.backup(new)
            # The copy is one file: without it the last pages might be in a log beside it.
            new.execute("pragma journal_mode = delete")
            (found,) = new.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise HeadraceError(f"{source} can't be copied: {error}", "check the disk") from None
    if found != "ok":
        raise HeadraceError(f"{source} is damaged: {found}", "restore it from an earlier backup")
    storage.sync(target)


def restore(home: Home, folder: Path, suffix: str, schemas: bool) -> None:
    """Put dumps of PostgreSQL into databases, or schemas, of a new state folder's own.

    Args:
        home: the state folder; HEADRACE_DATABASE or HEADRACE_DATABASE_FILE says which server.
        folder: where the dumps are.
        suffix: of the names of the databases, or schemas, that they were made of.
        schemas: whether they were made of schemas in a database that was given.

    Raises:
        UsageError: no server is named, it can't be used, or it has those schemas already.
        HeadraceError: a dump can't be read.
    """
    asked = database.from_environment()
    if asked is None:
        raise UsageError(
            "the runs and models of this backup come from PostgreSQL, and no server is named",
            f"write postgresql://USER:PASSWORD@HOST:PORT into a file that only you can read, and "
            f"set {database.VARIABLE}_FILE=FILE",
        )
    named = bool(database.parse(asked).name)
    if named != schemas:
        raise UsageError(
            "this backup was made of "
            + ("schemas in a database that was given" if schemas else "separate databases"),
            f"write {'the name of a' if schemas else 'no'} database behind the port in "
            f"{database.VARIABLE}",
        )
    program = _program("pg_restore")
    server = database.choose(home, asked)
    assert server is not None
    try:
        _restore(program, server, folder, suffix)
    except BaseException:
        with contextlib.suppress(UsageError), database.connected(server) as cursor:
            for name in server.names:
                cursor.execute(f'drop {"schema" if named else "database"} if exists "{name}"'
                               f"{' cascade' if named else ''}")  # fmt: skip
        raise


def _restore(program: str, server: Server, folder: Path, suffix: str) -> None:
    old = Server(server.database, suffix, server.home).names
    if server.address.name:
        _refuse_present(server, old)
    for before, name, dump in zip(old, server.names, DUMPS, strict=True):
        how = ["--no-owner", "--no-privileges", "--no-comments", "--exit-on-error"]
        place = server.address.name or name
        into = ["--no-password", f"--dbname={place}", str(folder / dump)]
        _run([program, *how, *into], server, place)
        if server.address.name:
            with database.connected(server) as cursor:
                cursor.execute(f'drop schema "{name}"')
                cursor.execute(f'alter schema "{before}" rename to "{name}"')


def _refuse_present(server: Server, schemas: tuple[str, str]) -> None:
    with database.connected(server) as cursor:
        cursor.execute("select nspname from pg_namespace where nspname = any(%s)", (list(schemas),))
        present = [name for (name,) in cursor.fetchall()]
    if present:
        raise UsageError(
            f"PostgreSQL at {server.address.place}: {server.address.name} has the schema "
            f"{present[0]} already: the state folder that was backed up lives there",
            "give another database, or leave its name out of the address",
        )


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UsageError(
            f"PostgreSQL keeps the runs and models, and {name} is not installed",
            "install PostgreSQL's client programs, of the server's version or a newer one",
        )
    return found


def _run(argv: list[str], server: Server, name: str) -> None:
    """Run a program of PostgreSQL; the password is in its environment only.

    Raises:
        HeadraceError: it fails.
    """
    at = server.address
    where = urlsplit(f"//{at.where}")
    given = {
        "PGHOST": where.hostname,
        "PGPORT": str(where.port) if where.port else None,
        "PGUSER": unquote(where.username) if where.username else None,
        "PGPASSWORD": unquote(where.password) if where.password else None,
        "PGDATABASE": name,
        **{f"PG{key.upper()}": value for key, value in at.options.items()},
    }
    env = {**os.environ, **{key: value for key, value in given.items() if value}}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[0]
        raise HeadraceError(
            f"PostgreSQL at {at.place}: {said}",
            "start it, correct user and rights, or install client programs as new as the server",
        )
