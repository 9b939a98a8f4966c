"""The zip of the code: what is in it, and that it is made once."""

import zipfile
from pathlib import Path

import pytest

from headrace.infra.spark import code_archive


def test_the_archive_holds_the_layer_and_infra_and_is_named_by_their_hash(tmp_path: Path) -> None:
    archive = code_archive.build("spark_jobs", tmp_path / "code")
    assert archive == tmp_path / "code" / f"{code_archive.content('spark_jobs')}.zip"
    names = set(zipfile.ZipFile(archive).namelist())
    assert {
        "headrace/__init__.py",
        "headrace/spark_jobs/curate/parallel.py",
        "headrace/spark_jobs/levels/data/l3_facts.json",
        "headrace/infra/storage.py",
    } <= names
    assert {name.split("/")[1] for name in names} == {"__init__.py", "spark_jobs", "infra"}
    assert list(archive.parent.iterdir()) == [archive]


def test_it_is_made_once(tmp_path: Path) -> None:
    first = code_archive.build("spark_jobs", tmp_path).stat()
    again = code_archive.build("spark_jobs", tmp_path).stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_compiled_kernels_travel_and_bytecode_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = tmp_path / "root" / "jobs" / "__pycache__"
    compiled.mkdir(parents=True)
    (tmp_path / "root" / "infra").mkdir()
    for name in ("k.f-1.py311.nbi", "k.f-1.py311.1.nbc", "k.cpython-311.pyc"):
        (compiled / name).write_bytes(b"x")
    monkeypatch.setattr(code_archive, "_ROOT", tmp_path / "root")
    names = zipfile.ZipFile(code_archive.build("jobs", tmp_path / "code")).namelist()
    inside = "headrace/jobs/__pycache__/k.f-1.py311"
    assert sorted(names) == ["headrace/__init__.py", f"{inside}.1.nbc", f"{inside}.nbi"]
