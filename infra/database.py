"""Where Prefect and MLflow keep what they know: SQLite files, or a PostgreSQL server."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.home import Home


def _file(home: Home) -> Path:
    return home.stack / "database.json"


def kept(home: Home) -> str | None:
    """The PostgreSQL server of a state folder, None where its files are SQLite's."""
    path = _file(home)
    return storage.read_json(path)["database"] if path.exists() else None


def stores(home: Home, database: str | None) -> tuple[str, str]:
    """(Prefect's, MLflow's) database URL."""
    if database is None:
        return f"sqlite+aiosqlite:///{home.root / 'prefect' / 'prefect.db'}", home.mlflow_uri
    rest = database.split("://", 1)[1].rstrip("/")
    return (
        f"postgresql+asyncpg://{rest}/headrace_prefect",
        f"postgresql+psycopg2://{rest}/headrace_mlflow",
    )


def choose(home: Home, asked: str | None) -> str | None:
    """The database server to use; its databases are made where they are missing.

    Raises:
        UsageError: it isn't PostgreSQL, doesn't answer, or the state is kept elsewhere already.
    """
    before = kept(home)
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
        storage.write_private(_file(home), {"database": database})
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
