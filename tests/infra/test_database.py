"""Which database a state folder uses; PostgreSQL itself runs in tests/e2e/test_doors_faults.py."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from headrace.infra import database, storage
from headrace.infra.errors import UsageError
from headrace.infra.home import Home


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


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se/cret@h:1",
        "postgresql://u:se#cret@h",
        "postgresql://u:se@cret@h",
        "postgresql://u:secret@h/name",
        "postgresql://u:sec ret@h",
        "postgresql://",
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="no address of a PostgreSQL") as e:
        database.choose(Home(tmp_path), url)
    assert "cret" not in e.value.message and "percent-encoded" in e.value.hint


def test_a_copied_folder_leaves_the_originals_databases_alone(tmp_path: Path) -> None:
    home, copy = Home(tmp_path / "a"), Home(tmp_path / "b")
    server = database.Server("postgresql://u@h", "0af1", str(home.root))
    storage.write_json(home.stack / "database.json", asdict(server))
    assert database.kept(home) == server
    assert database.stores(home, server)[1].endswith("/headrace_mlflow_0af1")
    shutil.copytree(home.root, copy.root)
    with pytest.raises(UsageError, match="is a copy of"):
        database.kept(copy)
