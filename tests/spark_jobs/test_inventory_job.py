"""Inventory: what is read and in which pieces, and when two curations are the same work."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.errors import InputError, UsageError
from headrace.spark_jobs import inventory_job
from headrace.spark_jobs.inventory_job import Chunk, list_inputs, pack, take
from headrace.spark_jobs.settings import CurateJob, Source


def job(folder: Path, *inputs: str | Source, **changes: object) -> CurateJob:
    sources = tuple(i if isinstance(i, Source) else Source(uri=i) for i in inputs)
    return CurateJob.model_validate({"inputs": sources, "output": str(folder / "out"), **changes})


def release_id(job: CurateJob) -> str:
    inventory = take(job)
    inventory_job.remove_work(inventory)
    return inventory.release_id


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.jsonl", "a.txt", "deep/c.parquet", ".hidden", "_SUCCESS"):
        (tmp_path / "in" / name).write_text('{"text": "x"}\n')
    return tmp_path


def test_folders_globs_and_files_are_listed_once_in_order(files: Path) -> None:
    root = files / "in"
    found = list_inputs(
        [Source(uri=f"{root}/*.jsonl"), Source(uri=str(root)), Source(uri=f"file://{root}/a.txt")]
    )
    assert [f.uri for f in found] == [str(root / n) for n in ("a.txt", "b.jsonl", "deep/c.parquet")]
    assert [f.kind for f in found] == ["text", "lines", "parquet"]


def test_an_identity_stands_for_the_path(files: Path) -> None:
    found = list_inputs([Source(uri=str(files / "in"), identity="pypi:p==1/x", licence="MIT")])
    assert {f.licence for f in found} == {"MIT"}
    assert [f.source for f in found] == [
        f"pypi:p==1/x/{n}" for n in ("a.txt", "b.jsonl", "deep/c.parquet")
    ]
    with pytest.raises(UsageError, match="same identity"):
        list_inputs(
            [Source(uri=str(files / "in" / n), identity="one") for n in ("a.txt", "b.jsonl")]
        )


def test_nothing_there(tmp_path: Path) -> None:
    for uri in ("gone", "gone/*.jsonl"):
        with pytest.raises(InputError):
            list_inputs([Source(uri=str(tmp_path / uri))])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files"):
        list_inputs([Source(uri=str(tmp_path / "empty"))])


def test_the_id_follows_what_decides_and_nothing_else(files: Path) -> None:
    path = str(files / "in" / "b.jsonl")
    first = release_id(job(files, path))
    assert first == release_id(job(files, path, spark={"partitions": 9, "master": "local[1]"}))
    assert first == release_id(job(files, path, settings={"input": {"max_unreadable": 1.0}}))
    assert first == release_id(job(files / "elsewhere", path))
    assert first != release_id(job(files, path, seed=1))
    assert first != release_id(job(files, path, settings={"dedup": {"enabled": False}}))
    named = release_id(job(files, Source(uri=path, identity="pypi:p==1/b")))
    os.rename(path, files / "moved.jsonl")
    assert named == release_id(
        job(files, Source(uri=str(files / "moved.jsonl"), identity="pypi:p==1/b"))
    )
    assert named != first
    (files / "moved.jsonl").write_text('{"text": "y"}\n')
    assert named != release_id(
        job(files, Source(uri=str(files / "moved.jsonl"), identity="pypi:p==1/b"))
    )


@given(st.lists(st.integers(0, 5 << 20), max_size=60))
def test_units_hold_all_chunks_in_order_and_are_even(weights: list[int]) -> None:
    chunks = [Chunk(n, 0, w, 1, w) for n, w in enumerate(weights)]
    units = pack(chunks)
    assert [c for u in units for c in u] == chunks
    limit = 3 << 20
    assert all(len(u) == 1 or sum(c.weight for c in u) <= limit for u in units)


def test_many_small_files_make_few_units() -> None:
    chunks = [Chunk(n, 0, 10, 1, 10) for n in range(10_000)]
    assert len(pack(chunks)) == -(-10_000 // inventory_job.FILES_A_UNIT)


def test_the_inventory_survives_storage(files: Path) -> None:
    inventory = take(job(files, str(files / "in")))
    assert inventory_job.load(inventory.work) == inventory
    inventory_job.remove_work(inventory)
    assert not Path(inventory.work).exists()
