"""A stage in Spark: all pieces are done, and an error of a worker arrives as what it is."""

import errno
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.infra import faults
from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import HeadraceError, InputError, ResourceError
from headrace.infra.spark import session as sessions
from headrace.spark_jobs.curate import parallel

pytestmark = pytest.mark.spark


def touch(number: int, folder: str, bad: int) -> None:
    if number == bad:
        raise InputError(f"piece {number} is bad", "mend it")
    Path(folder, str(number)).touch()


@pytest.fixture
def spark() -> Any:
    return sessions.session(SparkSettings())


@pytest.mark.parametrize("partitions", [None, 1, 9])
def test_all_pieces_are_done(spark: Any, tmp_path: Path, partitions: int | None) -> None:
    work = partial(touch, folder=str(tmp_path), bad=-1)
    parallel.run(spark, "touch", [3, 5, 8], work, partitions, lambda: 0, "pieces")
    assert {p.name for p in tmp_path.iterdir()} == {"3", "5", "8"}


def test_a_users_error_arrives_as_one(spark: Any, tmp_path: Path) -> None:
    work = partial(touch, folder=str(tmp_path), bad=1)
    with pytest.raises(InputError, match="piece 1 is bad") as error:
        parallel.run(spark, "touch", [0, 1, 2], work, 1, lambda: 0, "pieces")
    assert error.value.hint == "mend it"


def fail(number: int, how: str) -> None:
    with faults.during(f"reading /in/{number}.jsonl"):
        if how == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "/data/out/part")
        raise ValueError("3 rows\nerror: forged")


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("full", ResourceError, "no space left on /data/out/part (reading /in/4.jsonl)"),
        ("bug", HeadraceError, r"ValueError: 3 rows (reading /in/4.jsonl)"),
    ],
)
def test_a_fault_inside_spark_is_its_last_cause_and_the_file_at_hand(
    spark: Any, how: str, kind: type[HeadraceError], said: str
) -> None:
    with pytest.raises(HeadraceError) as error:
        parallel.run(spark, "fail", [4], partial(fail, how=how), 1, lambda: 0, "pieces")
    assert type(error.value) is kind and error.value.message == said


def allocate(number: int) -> None:
    np.zeros(6 << 30, np.uint8)


def test_a_piece_that_wants_too_much_memory_is_an_error_of_the_input(spark: Any) -> None:
    with pytest.raises(InputError, match="piece 4 of the input needs more than 2,048 MB") as error:
        parallel.run(spark, "take", [4], allocate, 1, lambda: 0, "pieces", memory=2 << 30)
    assert "input.max_record_bytes" in error.value.hint


def test_nothing_to_do_needs_no_spark() -> None:
    parallel.run(None, "nothing", [], lambda n: None, None, lambda: 4, "pieces")
