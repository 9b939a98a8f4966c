"""Which database a state folder uses; PostgreSQL itself runs in tests/e2e/test_doors_faults.py."""

from pathlib import Path

import pytest

from headrace.infra import database
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
    assert database.choose(home, None) is None
