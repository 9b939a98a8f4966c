"""Which database a state folder uses, on a real PostgreSQL where that is installed."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.stack import database
from headrace.infra.stack.folder_id import make_folder_id
from headrace.infra.stack.services import DEFAULT_PORTS, all_services
from headrace.infra.state.state_dir import Home


def test_only_postgresql_and_only_from_the_beginning(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(UsageError, match="mysql"):
        database.choose(home, "mysql://localhost")
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1"):
        database.choose(home, "postgresql://u:secret@127.0.0.1:1")
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(UsageError, match="another database"):
        database.choose(home, "postgresql://u:secret@127.0.0.1:1")
    assert database.choose(home, None) is None and database.kept(home) is None


NONE = "not the address of a PostgreSQL"
BAD = [
    ("postgresql://u:se/cret@h:1", NONE),
    ("postgresql://u:se#cret@h", NONE),
    ("postgresql://u:se@cret@h", NONE),
    ("postgresql://u:secret@h/name/more", NONE),
    ("postgresql://u:sec ret@h", NONE),
    ("postgresql://u:secret@h:0", NONE),
    ("postgresql://u:secret@h:99999", NONE),
    ("postgresql://", NONE),
    ("postgresql://u:secret@[::1/db", NONE),
    ("postgresql://u:se]cret@h/db", NONE),
    ("postgresql:///name", NONE),
    ("u:secret@h", "not PostgreSQL"),
    ("secret", "not PostgreSQL"),
    ("", "not PostgreSQL"),
    ("postgresql://u:secret@h?sslmode=full", "sslmode=full"),
    ("postgresql://u:secret@h?sslmode=", "sslmode="),
    ("postgresql://u:secret@h?ssl_mode=require", "unknown option 'ssl_mode'"),
    ("postgresql://u:secret@h?options=-c", "unknown option 'options'"),
    ("postgresql://u:secret@h?sslmode=verify-full&sslrootcert=/none/ca.pem", "/none/ca.pem"),
]


@pytest.mark.parametrize(("url", "said"), BAD)
def test_an_address_that_is_none_is_told_without_its_password(
    tmp_path: Path, url: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as e:
        database.choose(Home(tmp_path), url)
    assert "cret" not in e.value.message + e.value.hint


@given(password=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
def test_any_password_can_be_given_percent_encoded(password: str) -> None:
    from sqlalchemy.engine import make_url

    text = f"postgresql://u:{quote(password, safe='')}@h/name?sslmode=require"
    server = database.Server(text, "0af1", "/", None)
    for url in database.stores(Home(Path("/")), server):
        assert make_url(url).password == password and make_url(url).host == "h"
    assert "@h" not in repr(server)


def test_the_address_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert database.from_environment() is None
    monkeypatch.setenv("HEADRACE_DATABASE", "postgresql://a")
    assert database.from_environment() == "postgresql://a"
    file = tmp_path / "address"
    monkeypatch.setenv("HEADRACE_DATABASE_FILE", str(file))
    with pytest.raises(UsageError, match="are set"):
        database.from_environment()
    monkeypatch.delenv("HEADRACE_DATABASE")
    with pytest.raises(UsageError, match="No such file"):
        database.from_environment()
    file.write_text("postgresql://b\n")
    file.chmod(0o600)
    assert database.from_environment() == "postgresql://b" and not caplog.text
    file.chmod(0o644)
    assert database.from_environment() == "postgresql://b" and "others can read it" in caplog.text
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="no text"):
        database.from_environment()


def test_a_password_on_the_command_line_is_refused() -> None:
    database.refuse_password("postgresql://u@h")
    database.refuse_password(None)
    with pytest.raises(UsageError, match="command line") as e:
        database.refuse_password("postgresql://u:secret@h")
    assert "secret" not in e.value.message + e.value.hint
    done = subprocess.run(
        [sys.executable, "-m", "headrace.flows.cli", "up", "--json", "--set",
         "database=postgresql://u:secret@127.0.0.1:1"], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "secret" not in done.stdout + done.stderr
    assert "command line" in json.loads(done.stdout.splitlines()[-1])["error"]["message"]


def test_a_name_is_encoded_once() -> None:
    at = database.parse("postgresql://u@h/my%20db")
    assert at.name == "my db" and at.url("postgresql", at.name, {}).endswith("@h/my%20db")


@pytest.mark.parametrize("way", ["restored in place", "moved to another disk"])
def test_a_backup_that_was_restored_can_be_adopted(tmp_path: Path, way: str) -> None:
    home, backup = Home(tmp_path / "a"), Home(tmp_path / "b")
    server = database.Server("postgresql://u@h", "0af1", str(home.root), make_folder_id(home))
    storage.write_json(home.stack / "database.json", asdict(server))
    shutil.copytree(home.root, backup.root)
    with pytest.raises(UsageError, match="is still there"):
        database.adopt(backup)
    home.root.rename(tmp_path / "old")
    place = backup
    if way == "restored in place":
        backup.root.rename(home.root)
        place = home
    with pytest.raises(UsageError, match="is a copy of") as error:
        database.kept(place)
    assert "up --adopt" in error.value.hint
    assert str(place.root) not in error.value.message.partition(" is a copy of ")[2]
    database.adopt(place)
    found = database.kept(place)
    assert found is not None and found.names == server.names
    assert found.home == str(place.root)


def test_a_copied_folder_leaves_the_originals_databases_alone(tmp_path: Path) -> None:
    home, copy, moved = (Home(tmp_path / name) for name in "abc")
    id_of = make_folder_id(home)
    for server in (
        database.Server("postgresql://u@h", "0af1", str(home.root)),  # of an older version
        database.Server("postgresql://u@h", "0af1", str(home.root), id_of),
    ):
        storage.write_json(home.stack / "database.json", asdict(server))
        assert database.kept(home) == server
        assert database.stores(home, server)[1].endswith("/headrace_mlflow_0af1")
        shutil.copytree(home.root, copy.root)
        with pytest.raises(UsageError, match="is a copy of"):
            database.kept(copy)
        shutil.rmtree(copy.root)
    home.root.rename(moved.root)
    assert database.kept(moved) == server, "it was moved, not copied"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"database": 1, "x": 2}'])
def test_a_damaged_choice_is_not_taken_for_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "stack" / "database.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match="can't be read") as e:
        database.kept(Home(tmp_path))
    assert path.exists() and "backup" in e.value.hint


@pytest.fixture(scope="module")
def server(postgres: Any) -> Any:
    if postgres is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    import psycopg2

    end = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(f"{postgres.url}/postgres")
            break
        except psycopg2.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    connection.autocommit = True
    with connection.cursor() as cursor:
        # The company's: a user who may make no database, and a database that is his.
        cursor.execute("create role app login password 'p/w#1' nosuperuser nocreatedb")
        cursor.execute("create database company owner app")
    connection.close()
    return postgres


def own(server: Any, query: str = "sslmode=verify-full&sslrootcert={ca}", name: str = "/company",
        host: str = "127.0.0.1", user: str = "app:p%2Fw%231") -> str:  # fmt: skip
    query = query.format(ca=server.authority, other=server.folder / "other.pem")
    return f"postgresql://{user}@{host}:{server.port}{name}{'?' + query if query else ''}"


REFUSED = [
    ({"query": "sslmode=verify-full&sslrootcert={other}"}, "certificate verify failed"),
    ({"query": "sslmode=verify-ca&sslrootcert={other}"}, "certificate verify failed"),
    ({"host": "localhost"}, "does not match host name"),
    ({"user": "app:wrong"}, "password authentication failed"),
    ({"name": ""}, "permission denied to create database"),
    ({"name": "/none"}, 'database "none" does not exist'),
]


@pytest.mark.server
@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[s for _, s in REFUSED])
def test_what_the_server_refuses_is_told_in_a_sentence(
    change: dict[str, str], said: str, server: Any, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said) as e:
        database.choose(Home(tmp_path), own(server, **change))
    assert "p/w" not in str(e.value.message) and "p%2F" not in str(e.value.message)


MIGRATE = """
import asyncio, os, sys
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
from mlflow.server.handlers import initialize_backend_stores
initialize_backend_stores(sys.argv[1], sys.argv[1], sys.argv[2])
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
client.create_registered_model("m")
print([m.name for m in client.search_registered_models()])
"""


def migrated(home: Home, chosen: database.Server) -> str:
    """Prefect's and MLflow's own tables, made with what their services are given."""
    services = {s.name: s for s in all_services(home, DEFAULT_PORTS, chosen)}
    env = {**os.environ, **services["prefect"].env, "PREFECT_HOME": str(home.root)}
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE, services["mlflow"].env["HEADRACE_MLFLOW_STORE"],
         str(home.root)], env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.server
@pytest.mark.timeout(600)
def test_two_folders_live_in_one_existing_database_over_verified_tls(
    server: Any, tmp_path: Path
) -> None:
    import psycopg2

    url = own(server)
    one, two = Home(tmp_path / "one"), Home(tmp_path / "two")
    chosen = [database.choose(home, url) for home in (one, two)]
    assert all(chosen) and chosen[0] != chosen[1]
    assert stat.S_IMODE((one.stack / "database.json").stat().st_mode) == 0o600
    for home, each in zip((one, two), chosen, strict=True):
        assert each is not None and migrated(home, each) == "['m']"
        assert database.choose(home, None) == each == database.choose(home, url)
    # Another password, or other options, are the same database.
    changed = database.choose(one, own(server, "sslmode=require"))
    assert changed is not None and chosen[0] is not None and changed.suffix == chosen[0].suffix
    with pytest.raises(UsageError, match="another database"):
        database.choose(one, own(server, name="/postgres"))
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select table_schema, count(*) from information_schema.tables where table_type = "
            "'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') group by 1"
        )
        tables = dict(cursor.fetchall())
        assert tables.keys() == {name for each in chosen if each for name in each.names}
        assert all(count > 10 for count in tables.values()), "nothing is in `public`"
        cursor.execute("select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) "
                       "where ssl and datname = 'company'")  # fmt: skip
        assert cursor.fetchone()[0] >= 1
    connection.close()


@pytest.mark.server
def test_another_programs_tables_beside_the_extension_are_not_taken_for_prefects(
    server: Any, tmp_path: Path
) -> None:
    import psycopg2

    connection = psycopg2.connect(f"{server.url}/postgres")
    connection.autocommit = True
    connection.cursor().execute("create database shared owner app")
    connection.close()
    connection = psycopg2.connect(f"{server.url}/shared")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("create extension pg_trgm; create table public.alembic_version (v text)")
        with pytest.raises(UsageError, match="among tables of another program") as e:
            database.choose(Home(tmp_path / "a"), own(server, name="/shared"))
        cursor.execute(e.value.hint.rpartition(";")[0])
    connection.close()
    assert database.choose(Home(tmp_path / "b"), own(server, name="/shared")) is not None


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_stack_comes_up_on_it_and_shows_no_password(server: Any, tmp_path: Path) -> None:
    import psutil

    secret = tmp_path / "address"
    secret.write_text(own(server))
    secret.chmod(0o600)
    env = {**os.environ, "HEADRACE_HOME": str(tmp_path / "home")}

    def headrace(*args: str, **more: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "headrace.flows.cli", *args, "--json"],
            env={**env, **more}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-500:]
        return json.loads(done.stdout.splitlines()[-1])

    try:
        made = headrace("up", HEADRACE_DATABASE_FILE=str(secret))
        assert {s["state"] for s in made["services"]} == {"running"}
        for service in made["services"]:
            assert "p%2Fw" not in " ".join(psutil.Process(service["pid"]).cmdline())
        # The choice is known without the variable.
        assert headrace("up")["services"] == made["services"]
        assert headrace("status")["stack_fault"] is None
    finally:
        headrace("down")
    home = tmp_path / "home"
    assert not (home / "mlflow.db").exists() and not list((home / "prefect").glob("*.db"))
    for path in home.rglob("*"):
        if path.is_file() and b"p%2Fw" in path.read_bytes():
            assert path.name == "database.json" and path.stat().st_mode & 0o077 == 0, path
