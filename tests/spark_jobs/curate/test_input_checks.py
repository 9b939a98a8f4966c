"""An input that can't be read, or holds no text, publishes nothing and says why."""

import bz2
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.errors import NoTextError, UnreadableError, ValidationError
from headrace.spark_jobs.curate import scan_job
from headrace.spark_jobs.curate.input_checks import check_readable
from headrace.spark_jobs.curate.scan_counts import ScanCounts, UnreadableRecord
from headrace.spark_jobs.inputs import InputFile
from headrace.spark_jobs.settings import CurateJob, Source

TEXT = "The river bends south of the old mill, and the road follows it for three miles."


def job(*inputs: Path, allowed: float = 0.05, **fields: str) -> CurateJob:
    settings = {"input": {"max_unreadable": allowed, "fields": fields}}
    sources = tuple(Source(uri=str(path)) for path in inputs)
    return CurateJob.model_validate({"inputs": sources, "output": "/none", "settings": settings})


def lines(path: Path, rows: int, /, **row: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(rows)))
    return path


def counts(read: int, bad: int, size: int, bad_bytes: int) -> ScanCounts:
    return ScanCounts(
        read=read, kept=read - bad, unreadable=bad, bytes=size, unreadable_bytes=bad_bytes
    )


@given(
    st.integers(1, 1000), st.integers(0, 1000), st.integers(1, 10**9), st.integers(0, 10**9),
    st.floats(0, 1),
)  # fmt: skip
def test_both_shares_must_be_allowed(
    read: int, bad: int, size: int, bad_bytes: int, allowed: float
) -> None:
    bad, bad_bytes = min(bad, read), min(bad_bytes, size)
    too_much = bad > allowed * read or bad_bytes > allowed * size
    refused: UnreadableError | None = None
    try:
        check_readable(counts(read, bad, size, bad_bytes), job(Path("/a"), allowed=allowed))
    except UnreadableError as error:
        refused = error
    assert (refused is not None) == too_much
    if refused:
        assert refused.counts["unreadable"] == bad
        assert refused.counts["unreadable_bytes"] == bad_bytes


def test_large_unreadable_files_among_many_small_records_are_refused_by_name(
    tmp_path: Path,
) -> None:
    """Three records of a thousand, and nearly all of the bytes."""
    good = lines(tmp_path / "good.jsonl", 997, text=TEXT)
    packed = bz2.compress(os.urandom(60_000))
    bad = [tmp_path / f"{name}.jsonl.bz2" for name in "abc"]
    for path in bad:
        path.write_bytes(packed)
    with pytest.raises(UnreadableError) as error:
        scan_job.scan_here(job(good, *bad))
    for path in bad:
        assert f"{path}: a bzip2-compressed file" in error.value.message
    assert "3 of 1,000 records (0.3%) and" in error.value.message
    read: Any = error.value.counts
    assert read["unreadable_bytes"] > 0.8 * read["bytes"]
    assert scan_job.scan_here(job(good, *bad, allowed=1)).num_rows == 997


def test_the_message_names_a_few_files_and_how_many_more() -> None:
    files = [
        InputFile(f"/f{k}", f"/f{k}", "lines", "", 9, "", 0, error="an ELF" if k < 8 else "",
                  note="" if k < 8 else "JSON Lines")
        for k in range(17)
    ]  # fmt: skip
    unreadable: list[UnreadableRecord] = [
        {"source": "/f0", "position": 1, "error": "an ELF"},
        {"source": "/f16", "position": 3, "error": "not valid JSON"},
    ]
    with pytest.raises(UnreadableError) as error:
        check_readable(counts(9, 9, 90, 90), job(Path("/f")), files, lambda: unreadable)
    said = error.value.message
    assert "/f4: an ELF; and 3 more" in said and "/f5:" not in said
    assert "the first lines: /f16:3: not valid JSON" in said and said.count("/f0") == 1
    assert "to note: /f8: JSON Lines" in said and "; and 4 more" in said


def test_records_without_text_name_the_fields_that_they_have(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", 30, content=TEXT, id="a short name", n=1)
    with open(path, "a") as f:
        f.write(json.dumps({"content": TEXT, "rare \x1b field": 1}) + "\n")
    with pytest.raises(NoTextError) as error:
        scan_job.scan_here(job(path))
    assert "none of the 31 records has text in the field `text`" in error.value.message
    assert "`content` (31), `id` (30), `n` (30), `rare" in error.value.message
    assert '--set "input.fields={text: content}"' in error.value.hint
    assert error.value.code == 4 and error.value.counts["read"] == 31
    assert scan_job.scan_here(job(path, text="content")).num_rows == 31


@pytest.mark.parametrize("value", [None, "", "  \n", 5, ["a"], {"a": "b"}])
def test_a_text_field_that_holds_no_text_is_said(tmp_path: Path, value: Any) -> None:
    with pytest.raises(NoTextError, match="which is there but holds none"):
        scan_job.scan_here(job(lines(tmp_path / "a.jsonl", 3, text=value, body=TEXT)))


def test_columns_are_named_too(tmp_path: Path) -> None:
    table = pa.table({"a": ["short"] * 5, "the text:": [TEXT] * 5, "n": range(5)})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(NoTextError) as error:
        scan_job.scan_here(job(tmp_path / "a.parquet"))
    assert "`a` (5), `n` (5), `the text:` (5)" in error.value.message
    assert '{text: "the text:"}' in error.value.hint


def test_one_record_with_text_is_enough(tmp_path: Path) -> None:
    a, b = lines(tmp_path / "a.jsonl", 30, content=TEXT), lines(tmp_path / "b.jsonl", 1, text=TEXT)
    assert scan_job.scan_here(job(a, b)).num_rows == 31


def test_what_could_not_be_read_has_no_fields(tmp_path: Path) -> None:
    """All is unreadable and that is allowed: then it isn't the fields that are wrong."""
    (tmp_path / "a.jsonl").write_bytes(b"nonsense\n")
    assert scan_job.scan_here(job(tmp_path / "a.jsonl", allowed=1)).num_rows == 0


def test_no_records_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n\n")
    with pytest.raises(ValidationError, match="holds no records") as error:
        scan_job.scan_here(job(tmp_path / "a.jsonl"))
    assert not isinstance(error.value, NoTextError)
