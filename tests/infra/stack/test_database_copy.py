"""Copies of databases that are written to meanwhile: each is one state of them."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.stack import database, database_copy
from headrace.infra.state.state_dir import Home


@contextlib.contextmanager
def transfers(path: Path, mode: str) -> Iterator[list[int]]:
    """A program that moves one unit at a time between two accounts, whose sum is always 1000."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        store.execute(f"pragma journal_mode = {mode}")
        store.execute("create table account (name text primary key, units int, filler blob)")
        filler = os.urandom(1 << 20)
        accounts = [("a", 1000, filler), ("b", 0, filler)]
        store.executemany("insert into account values (?, ?, ?)", accounts)
        store.commit()
    done, ended = [0], threading.Event()

    def work() -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as store:
            while not ended.is_set():
                store.execute("update account set units = units - 1 where name = 'a'")
                store.execute("update account set units = units + 1 where name = 'b'")
                store.commit()
                done[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_copy_of_sqlite_is_one_state_while_it_is_written_to(mode: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (home.root / "prefect").mkdir(parents=True)
    with transfers(home.root / "mlflow.db", mode) as done:
        for number in range(20):
            before = done[0]
            while done[0] == before:
                time.sleep(0.001)
            folder = tmp_path / f"copy-{number}"
            folder.mkdir()
            assert database_copy.copy(home, folder) == ("mlflow.db",)
            assert [p.name for p in folder.iterdir()] == ["mlflow.db"]
            with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
                (total, moved) = store.execute(
                    "select sum(units), max(units) filter (where name = 'b') from account"
                ).fetchone()
            assert total == 1000 and moved >= before


def test_a_damaged_database_is_not_copied_as_if_it_were_whole(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (tmp_path / "copy").mkdir()
    (home.root / "mlflow.db").write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    with pytest.raises(HeadraceError, match=r"mlflow\.db") as error:
        database_copy.copy(home, tmp_path / "copy")
    assert error.value.hint


@pytest.fixture(scope="module")
def server(postgres: Any) -> Any:
    if postgres is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    end = time.monotonic() + 30
    while True:
        try:
            database.choose(Home(postgres.folder / "first"), postgres.url)
            return postgres
        except UsageError:
            assert time.monotonic() < end
            time.sleep(0.2)


def rows(chosen: Any) -> Any:
    """What the two tables of `filled` hold, as MLflow's and Prefect's own programs find them."""
    found = []
    for name in chosen.names:
        with named(chosen, name) as cursor:
            cursor.execute("select n, word from item order by n")
            found.append(cursor.fetchall())
    return found


@contextlib.contextmanager
def named(chosen: Any, name: str) -> Iterator[Any]:
    import psycopg2

    at = chosen.address
    options = {**at.options, "options": f"-csearch_path={name}"} if at.name else at.options
    connection = psycopg2.connect(at.url("postgresql", at.name or name, options))
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        yield cursor


@pytest.mark.server
@pytest.mark.parametrize("style", ["databases", "schemas"])
def test_dumps_of_postgresql_become_databases_of_the_restored_folder(
    server: Any, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    def address(which: str) -> str:
        if style == "databases":
            return str(server.url)
        connection = psycopg2.connect(f"{server.url}/postgres")
        connection.autocommit = True
        connection.cursor().execute(f"create database {which}")
        connection.close()
        return f"{server.url}/{which}"

    home, url = Home(tmp_path / "home"), address("one")
    chosen = database.choose(home, url)
    assert chosen is not None
    for name, words in zip(chosen.names, (["flow"], ["model", "版本"]), strict=True):
        with named(chosen, name) as cursor:
            cursor.execute("create table item (n serial primary key, word text)")
            cursor.executemany("insert into item (word) values (%s)", [(w,) for w in words])
    dumps = tmp_path / "dumps"
    dumps.mkdir()
    assert database_copy.copy(home, dumps) == database_copy.DUMPS
    assert all("s3cret" not in p.read_bytes().decode("latin-1") for p in dumps.iterdir())

    def restore(place: str, given: str | None, schemas: bool = style == "schemas") -> Home:
        monkeypatch.delenv(database.VARIABLE, raising=False)
        if given:
            monkeypatch.setenv(database.VARIABLE, given)
        target = Home(tmp_path / place)
        target.root.mkdir()
        database_copy.restore(target, dumps, chosen.suffix, schemas)
        return target

    with pytest.raises(UsageError, match="no server is named"):
        restore("a", None)
    with pytest.raises(UsageError, match="made of"):
        restore("b", url, schemas=style != "schemas")
    if style == "schemas":
        with pytest.raises(UsageError, match="already"):
            restore("c", url)
    new = restore("new", address("two"))
    made = database.kept(new)
    assert made is not None and made.suffix != chosen.suffix
    assert rows(made) == rows(chosen) == [[(1, "flow")], [(1, "model"), (2, "版本")]]
    # Each is its own: what is written to one is not in the other, and numbers go on from where
    # they were.
    with named(made, made.names[0]) as cursor:
        cursor.execute("insert into item (word) values ('new') returning n")
        assert cursor.fetchone() == (2,)
    assert rows(chosen)[0] == [(1, "flow")]
    new.root.rename(tmp_path / "moved")
    assert database.kept(Home(tmp_path / "moved")) == made


@pytest.mark.server
def test_a_missing_client_program_is_said(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    database.choose(home, server.url)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="pg_dump is not installed"):
        database_copy.copy(home, tmp_path)
