"""Where Prefect and MLflow keep what they know: SQLite files, or PostgreSQL.

The address of a server may name an existing database, in which each state folder has two schemas of
its own; without one each state folder has its own two databases, which are made. So several
folders may use one server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.stack.folder_id import folder_id, make_folder_id
from headrace.infra.state.state_dir import Home

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as cursor_type

logger = logging.getLogger(__name__)

VARIABLE = "HEADRACE_DATABASE"
"""Environment variable with the address; with `_FILE` behind it, the file that holds it."""
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES = {"sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}
"""Options that name a file -> the variable by which Prefect's driver takes it."""
_FORM = "postgresql://USER:PASSWORD@HOST:PORT[/DATABASE][?sslmode=verify-full&sslrootcert=FILE]"
_EXTENSIONS = "headrace_extensions"
_TRIGRAMS = "pg_trgm"
"""An extension that Prefect's tables need."""


@dataclass(frozen=True)
class Address:
    """Where a PostgreSQL server is, and as whom it is spoken to."""

    where: str = field(repr=False)
    """USER:PASSWORD@HOST:PORT, percent-encoded."""
    name: str
    """The database; empty: none is given."""
    options: Mapping[str, str]
    """sslmode and the files that go with it."""

    @property
    def password(self) -> str | None:
        """Its password."""
        return urlsplit(f"//{self.where}").password

    @property
    def place(self) -> str:
        """HOST:PORT."""
        parts = urlsplit(f"//{self.where}")
        return f"{parts.hostname}:{parts.port or 5432}"

    def url(self, driver: str, name: str, options: Mapping[str, str]) -> str:
        """Return the URL of a database there."""
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"{driver}://{self.where}/{quote(name, safe='')}{query}"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that a state folder keeps its runs and models on."""

    database: str = field(repr=False)
    """Its address, as it was given."""
    suffix: str
    """What the names of this state folder's databases, or schemas, end with."""
    home: str
    """The state folder."""
    folder: str | None = None
    """See folder_id.py; None where an older version wrote it."""

    @property
    def address(self) -> Address:
        """Its address, taken apart."""
        return parse(self.database)

    @property
    def names(self) -> tuple[str, str]:
        """(Prefect's, MLflow's) database, or schema of the database that is given."""
        return f"headrace_prefect_{self.suffix}", f"headrace_mlflow_{self.suffix}"


def parse(text: str) -> Address:
    """Return the address of a server.

    Raises:
        UsageError: it is none; the message has no password.
    """
    hint = f"give {_FORM}, / # ? @ in the password percent-encoded"
    none = UsageError("database: not the address of a PostgreSQL server", hint)
    try:
        where = urlsplit(text)
    except ValueError:  # brackets that enclose no IPv6 address
        raise none from None
    if where.scheme not in ("postgresql", "postgres"):
        kind = where.scheme if re.fullmatch(r"[a-z+\d]{1,20}", where.scheme) else "no scheme"
        raise UsageError(f"database: {kind} is not PostgreSQL", hint)
    try:
        port_is_one = where.port != 0
    except ValueError:  # it names what it takes for the port, which may be the password
        port_is_one = False
    name = unquote(where.path.strip("/"))
    odd = "/" in name or where.fragment or "@" in (where.password or "")
    if not where.hostname or not port_is_one or odd or any(c in text for c in " \t\r\n\"'\\"):
        raise none
    options = dict(parse_qsl(where.query, keep_blank_values=True))
    for key in options:
        if key != "sslmode" and key not in _FILES:
            known = ", ".join(("sslmode", *_FILES))
            raise UsageError(f"database: unknown option {key[:40]!r}", f"there are {known}")
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise UsageError(
            f"database: sslmode={options['sslmode'][:40]}", f"give one of {', '.join(SSL_MODES)}"
        )
    for key in _FILES.keys() & options.keys():
        # Services have their own working directories.
        options[key] = os.path.abspath(os.path.expanduser(options[key]))
        if not os.access(options[key], os.R_OK):
            raise UsageError(f"database: {key} {options[key]} can't be read", "correct the path")
    return Address(where.netloc, name, options)


def from_environment() -> str | None:
    """Return the address that HEADRACE_DATABASE, or HEADRACE_DATABASE_FILE's file, holds.

    Raises:
        UsageError: both are set, or the file can't be read.
    """
    text, file = os.environ.get(VARIABLE), os.environ.get(f"{VARIABLE}_FILE")
    if text and file:
        raise UsageError(f"{VARIABLE} and {VARIABLE}_FILE are set", "keep one of the two")
    if not file:
        return text or None
    try:
        if Path(file).stat().st_mode & 0o044:
            logger.warning("%s holds a password and others can read it: chmod 600 it", file)
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "no text"
        raise UsageError(f"{VARIABLE}_FILE {file}: {cause}", "correct the path") from None


def refuse_password(address: object) -> None:
    """Raise if an address from the command line holds a password.

    Raises:
        UsageError: it does.
    """
    if isinstance(address, str) and parse(address).password:
        raise UsageError(
            "database: every account of this machine can read a password on the command line",
            f"write the address into a file that only you can read, and set {VARIABLE}_FILE=FILE "
            f"(or {VARIABLE}, or `database` in the file of --config)",
        )


def _file(home: Home) -> Path:
    return home.stack / "database.json"


def kept(home: Home) -> Server | None:
    """Return the server of a state folder, None where its files are SQLite's.

    Raises:
        UsageError: the folder is a copy, and the databases are the original's; or what it says of
            them can't be read.
    """
    path = _file(home)
    try:
        server = Server(**storage.read_json(path))
        own = server.folder == folder_id(home) if server.folder else server.home == str(home.root)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        # Not set aside: without it the models would seem to be gone.
        raise UsageError(
            f"{path} can't be read: it says where PostgreSQL keeps the runs and models",
            "restore it from a backup, as its owner",
        ) from None
    if not own:
        raise UsageError(
            f"{home.root} is a copy of {_original(home, server)}, whose runs and models are in "
            "PostgreSQL",
            "if it replaces the original from now on (a backup that was restored, a move to "
            "another disk): `headrace up --adopt`; otherwise use the original",
        )
    return server


def rename(home: Home, place: Home) -> None:
    """Note that a state folder is about to be moved to `place`."""
    if (server := kept(home)) is not None:
        storage.write_private(_file(home), asdict(replace(server, home=str(place.root))))


def _original(home: Home, server: Server) -> str:
    in_place = server.home == str(home.root)
    return "the folder that was here before" if in_place else server.home


def adopt(home: Home) -> None:
    """Make a copy of a state folder the one that its databases belong to. Nothing without any.

    Raises:
        UsageError: the folder that it is a copy of is still there.
    """
    path = _file(home)
    try:
        server = Server(**storage.read_json(path))
    except (OSError, ValueError, TypeError):
        return  # there is none, or `kept` says what is wrong
    there = Home(Path(server.home))
    if there.root != home.root and folder_id(there) == server.folder is not None:
        raise UsageError(
            f"{server.home}, which this folder is a copy of, is still there, and both would write "
            "into the same databases",
            f"use it, or remove it first: `rm -r {server.home}`",
        )
    adopted = replace(server, home=str(home.root), folder=make_folder_id(home))
    if adopted != server:
        storage.write_private(path, asdict(adopted))


def stores(home: Home, server: Server | None) -> tuple[str, str]:
    """(Prefect's, MLflow's) database URL."""
    if server is None:
        return f"sqlite+aiosqlite:///{home.root / 'prefect' / 'prefect.db'}", home.mlflow_uri
    at, (prefect, mlflow) = server.address, server.names
    # The drivers name the same things differently; Prefect's takes the files by variables.
    ssl = {"ssl": at.options["sslmode"]} if "sslmode" in at.options else {}
    mine, options = at.name or prefect, dict(at.options)
    if at.name:
        options["options"] = f"-csearch_path={mlflow}"
    return (
        at.url("postgresql+asyncpg", mine, ssl),
        at.url("postgresql+psycopg2", at.name or mlflow, options),
    )


def prefect_environment(server: Server | None) -> dict[str, str]:
    """Return what Prefect's server needs beside the URL."""
    if server is None:
        return {}
    at = server.address
    found = {variable: at.options[key] for key, variable in _FILES.items() if key in at.options}
    if at.name:
        with connected(server) as cursor:
            path = _search_path(cursor, server.names[0])
        found["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = path
    return found


def _search_path(cursor: cursor_type, schema: str) -> str:
    """Where Prefect looks for its tables and for the extension that it needs."""
    cursor.execute(
        "select nspname from pg_extension e join pg_namespace n on n.oid = extnamespace "
        "where extname = %s",
        (_TRIGRAMS,),
    )
    return f"{schema}, {_first(cursor)}"


def _first(cursor: cursor_type) -> object:
    """Return the first column of the only row that a query gives."""
    row = cursor.fetchone()
    assert row is not None, "the query gives one row"
    return row[0]


def choose(home: Home, asked: str | None) -> Server | None:
    """Return the server to use; what this folder needs there is made where it is missing.

    Args:
        home: the state folder.
        asked: the address, where one was given: its user, password, options may be other ones than
            before.

    Raises:
        UsageError: it isn't PostgreSQL, doesn't answer or doesn't allow it, or the state is kept
            elsewhere already.
    """
    server = kept(home)
    if asked is not None and (server is None or asked != server.database):
        address = parse(asked)
        if server is not None and (address.place, address.name) == (
            server.address.place,
            server.address.name,
        ):
            server = Server(asked, server.suffix, server.home, server.folder)
        elif server is not None or (home.root / "mlflow.db").exists():
            raise UsageError(
                "this state folder already keeps its runs and models in another database",
                f"leave `database` and {VARIABLE} out, or start with a new HEADRACE_HOME",
            )
        else:
            server = Server(asked, secrets.token_hex(4), str(home.root), make_folder_id(home))
    if server is not None:
        with connected(server) as cursor:
            # Named before they are made, so that a kill leaves none that no folder knows of.
            storage.write_private(_file(home), asdict(server))
            _make(cursor, server)
    return server


def _make(cursor: cursor_type, server: Server) -> None:
    """Databases, or schemas in the database that is given."""
    if not server.address.name:
        for name in server.names:
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(f'create database "{name}"')
        return
    for name in server.names:
        cursor.execute(f'create schema if not exists "{name}"')
    # In its own schema: beside the tables of one folder another folder would see those.
    cursor.execute("select 1 from pg_extension where extname = %s", (_TRIGRAMS,))
    if not cursor.fetchone():
        cursor.execute(f"create schema if not exists {_EXTENSIONS}")
        cursor.execute(f"create extension if not exists {_TRIGRAMS} with schema {_EXTENSIONS}")
    place = _search_path(cursor, server.names[0]).split(", ")[1]
    # Whatever else lies beside the extension Prefect would see as well.
    cursor.execute("select to_regclass(%s)", (f'"{place}".alembic_version',))
    if _first(cursor):
        raise UsageError(
            f"PostgreSQL at {server.address.place}: the extension {_TRIGRAMS} lies in the schema "
            f"{place}, among tables of another program that Prefect would take for its own",
            "create schema extensions; grant usage on schema extensions to public; "
            f"alter extension {_TRIGRAMS} set schema extensions; or give another database",
        )


@contextlib.contextmanager
def connected(server: Server) -> Iterator[cursor_type]:
    """Yield a cursor on the server, whose faults are said in a sentence without the password."""
    import psycopg2

    at = server.address
    try:
        connection = psycopg2.connect(
            at.url("postgresql", at.name or "postgres", at.options), connect_timeout=5
        )
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        first = (str(error).strip().splitlines() or ["no answer"])[0]
        raise UsageError(
            f"PostgreSQL at {at.place}: {first}",
            "start it, correct user, password and certificates, or let the user create databases "
            "(where the address names one: schemas in it)",
        ) from None
