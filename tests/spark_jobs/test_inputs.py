"""A file of the input is the one that was counted, or the run ends."""

from pathlib import Path

import pytest

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.spark_jobs.inputs import UNPACKED, InputFile


def test_a_file_that_changed_is_refused_and_one_that_cannot_be_read_is_passed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    size, changed = storage.stat(str(path))
    file = InputFile(str(path), "a", "lines", "", size, "", changed)
    file.check()
    path.write_text("{}\n{}\n")
    with pytest.raises(InputError, match="changed while it was read"):
        file.check()
    InputFile(str(path), "a", "lines", "", size, "", changed, error="an ELF").check()


def test_a_compressed_file_weighs_what_it_holds() -> None:
    assert InputFile("a", "a", "lines", "gzip", 10, "", 0).weight == 10 * UNPACKED
    assert InputFile("a", "a", "lines", "", 10, "", 0).weight == 10
