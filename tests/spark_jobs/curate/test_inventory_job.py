"""Inventory: what is read and in which pieces, and when two curations are the same work."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError
from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.curate.inventory_job import list_inputs, pack, take
from headrace.spark_jobs.inputs import Chunk, InputFile
from headrace.spark_jobs.settings import CurateJob, Source


def job(folder: Path, *inputs: str | Source, **changes: object) -> CurateJob:
    sources = tuple(i if isinstance(i, Source) else Source(uri=i) for i in inputs)
    return CurateJob.model_validate({"inputs": sources, "output": str(folder / "out")} | changes)


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
    with pytest.raises(InputError, match="no files to read"):
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


def surveyed(*inputs: Path | str) -> dict[str, InputFile]:
    """{name: the file} of inputs, examined."""
    files = list_inputs([Source(uri=str(i)) for i in inputs])
    return {f.uri.rsplit("/", 1)[-1]: inventory_job.survey(f, 0, 1 << 20)[0] for f in files}


def test_what_is_no_file_is_one_unreadable_record_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    found = surveyed(tmp_path)
    assert {n: f.error for n, f in found.items()} == {
        "a.jsonl": "", "gone.jsonl": "a dangling link", "pipe.jsonl": "a named pipe, not a file",
    }  # fmt: skip
    inventory = take(job(tmp_path, str(tmp_path / "gone.jsonl"), str(tmp_path / "pipe.jsonl")))
    assert [c.file for unit in inventory.units for c in unit] == [0, 1]
    inventory_job.remove_work(inventory)


def test_a_file_without_permission_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text("x")

    def refused(uri: str) -> None:
        raise PermissionError(13, "Permission denied", uri)

    monkeypatch.setattr(storage, "open_input", refused)
    assert surveyed(tmp_path)["a.jsonl"].error == "can't be opened: Permission denied"


ODD = [
    b"a b",
    b"100%",
    b"a%20b",
    b"a#b",
    b"a?b",
    b"new\nline",
    b"\x1b[31mred",
    b"\xd3\xef",
    "中文".encode(),
]


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_any_name_is_read_under_a_valid_source(tmp_path: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(tmp_path), name + b".jsonl"), "wb") as f:
        f.write(b'{"text": "x"}\n')
    [file] = surveyed(tmp_path).values()
    assert not file.error and file.bytes == 14
    file.source.encode()
    [again] = list_inputs([Source(uri=file.source)])
    assert again.uri == file.uri
    [named] = list_inputs([Source(uri=str(tmp_path), identity="pypi:p==1/x")])
    assert named.source == f"pypi:p==1/x/{file.uri.rsplit('/', 1)[-1]}"


def test_an_output_whose_name_is_not_utf8_is_refused(files: Path) -> None:
    folder = os.fsdecode(os.path.join(os.fsencode(files), b"\xd3\xef"))
    with pytest.raises(UsageError, match="must be UTF-8"):
        take(job(files, str(files / "in"), output=storage.uri_of(folder)))


def test_what_the_files_are_is_said_in_a_few_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for k in range(8):
        (tmp_path / f"{k}.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b.json").write_text('[{"text": "x"}]')
    (tmp_path / "README.md").write_text("x")
    inventory_job.remove_work(take(job(tmp_path.parent / "elsewhere", str(tmp_path))))
    said = capfd.readouterr().err
    assert f"can't be read: {tmp_path}/4.jsonl: a PNG image: it holds no text\n" in said
    assert "5.jsonl" not in said and "can't be read: 3 more files" in said
    assert f"note: {tmp_path}/b.json: a JSON array, read element by" in said
    assert f"left out: {tmp_path}/README.md: describes the data" in said


def test_a_folder_of_nothing_but_companions_says_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(InputError, match=r"no files to read; left out: .*README\.md: describes"):
        list_inputs([Source(uri=str(tmp_path))])


@given(st.lists(st.sampled_from([b"", b"a", b"bcd"]), max_size=40), st.integers(1, 12))
def test_lines_that_end_with_a_return_are_cut_as_those_that_end_with_a_feed(
    lines: list[bytes], target: int
) -> None:
    feeds, returns = b"\n".join(lines), b"\r".join(lines)
    pieces = [returns[k : k + 5] for k in range(0, len(returns), 5)]
    assert inventory_job._cut_lines(pieces, 0, target, b"\r") == inventory_job._cut_lines(
        [feeds] if feeds else [], 0, target
    )
