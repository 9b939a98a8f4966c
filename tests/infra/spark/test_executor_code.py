"""The shipped package: imported from its zip in other processes, as executors do."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from headrace.infra.lineage import code_version
from headrace.infra.spark import code_archive
from headrace.infra.spark.executor_code import FOLDER, unpack
from headrace.spark_jobs.kernels.utf8 import character

# What the kernel is called with decides which compiled version it needs.
CALL = "character(np.frombuffer('é'.encode(), np.uint8), 0, 2)"
CODE = f"""
import json, sys
import numpy as np
import headrace
from headrace.infra.lineage import code_version
from headrace.spark_jobs.curate import release_job, scan_job
from headrace.spark_jobs.kernels.utf8 import character
{CALL}
found = [m.__file__ for n, m in sys.modules.items() if n.startswith("headrace.")]
print(json.dumps({{
    "files": found, "code": code_version("spark_jobs"),
    "compiled": sum(character.stats.cache_misses.values()),
}}))
"""


def importing(archive: Path, folder: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(archive), FOLDER: str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", CODE], env=env, stdout=subprocess.PIPE, text=True
    )


def test_the_zip_is_the_package_for_who_imports_it(tmp_path: Path) -> None:
    eval(CALL, {"character": character, "np": np})
    archive = code_archive.build("spark_jobs", tmp_path / "shipped")
    folder = tmp_path / "machine"
    both = [importing(archive, folder) for _ in range(2)]
    for process in both:
        said = json.loads(process.communicate()[0])
        assert len(said["files"]) > 20
        assert all(
            Path(f).is_relative_to(folder / archive.stem / "headrace") for f in said["files"]
        )
        assert said["code"] == code_version("spark_jobs")
        assert said["compiled"] == 0, "what was compiled here is compiled there"
    assert [p.name for p in folder.iterdir()] == [archive.stem]


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "abc.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("headrace/x.py", "1")
    target = unpack(archive, tmp_path / "to")
    assert target == tmp_path / "to" / "abc"
    assert (target / "headrace" / "x.py").read_text() == "1"
    archive.unlink()
    assert unpack(archive, tmp_path / "to") == target


def test_what_was_killed_while_unpacking_is_not_taken_for_the_code(tmp_path: Path) -> None:
    archive = tmp_path / "abc.zip"
    archive.write_bytes(b"PK half a zip")
    for _ in range(2):
        try:
            unpack(archive, tmp_path / "to")
        except zipfile.BadZipFile:
            pass
        else:
            raise AssertionError("half an archive was taken for a whole one")
        assert not (tmp_path / "to" / "abc").exists()
