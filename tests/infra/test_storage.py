import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError
from headrace.infra.files import walk


def test_local_uris_are_shown_absolute_and_without_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.display("a/../b") == str(tmp_path / "b")
    assert storage.display(f"file://{tmp_path}/b%20c") == str(tmp_path / "b c")
    assert storage.display("s3://bucket/key/") == "s3://bucket/key"


@pytest.mark.parametrize("uri", ["http://host/x", "file://host/x", "", "a\0b", "gs://b/k"])
def test_what_is_no_path_is_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        storage.display(uri)


def test_files_are_listed_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/.hidden", "_temporary/x.txt", ".git/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert walk.list_files(tmp_path) == [str(tmp_path / "a/z.txt"), str(tmp_path / "b.txt")]
    assert walk.list_files(f"{tmp_path}/*.txt") == [str(tmp_path / "b.txt")]
    assert walk.list_files(tmp_path / "b.txt") == [str(tmp_path / "b.txt")]


def test_nothing_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    for uri in (tmp_path / "none", f"{tmp_path}/*.none"):
        with pytest.raises(InputError, match="none"):
            walk.list_files(uri)


def test_a_write_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.json"
    storage.write_json(path, {"a": "一"})
    storage.write_json(path, {"a": "二"})
    assert storage.read_json(path) == {"a": "二"}
    assert [p.name for p in path.parent.iterdir()] == ["f.json"]


def test_an_endpoint_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(InputError, match="s3://bucket/x") as error:
        walk.list_files("s3://bucket/x")
    assert "AWS_ENDPOINT_URL" in error.value.hint


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made durable and what gets its name, in order."""
    seen: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        seen.append(f"sync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        sync(fd)

    def renamed(old: Path, new: Path) -> None:
        seen.append(f"rename {Path(old).name} {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return seen


@pytest.mark.parametrize("how", ["write_bytes", "write_json", "write_private", "copy_out"])
def test_data_is_durable_before_its_name_is(tmp_path: Path, calls: list[str], how: str) -> None:
    target = tmp_path / "folder" / "file"
    if how == "copy_out":
        (tmp_path / "made").write_bytes(b"1")
        storage.copy_out(tmp_path / "made", target)
    else:
        getattr(storage, how)(target, b"1" if how == "write_bytes" else 1)
    first, named, last = calls
    assert first.startswith("sync ") and named == f"rename {first.removeprefix('sync ')} file"
    assert last == "sync folder"


def test_a_folder_is_durable_with_all_that_lies_below(tmp_path: Path, calls: list[str]) -> None:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "a").write_text("a")
    (made / "b").write_text("b")
    storage.publish(made, tmp_path / "export")
    renamed = calls.index("rename made export")
    assert {"sync a", "sync b", "sync deep", "sync made"} == set(calls[:renamed])
    assert calls[renamed + 1 :] == [f"sync {tmp_path.name}"]


def test_a_write_that_fails_names_its_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (storage.write_json, storage.write_private):
        with pytest.raises(OSError, match=str(tmp_path / "f.json")) as error:
            write(tmp_path / "f.json", 1)
        assert error.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_an_output_that_can_not_be_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone" / "x")
    for name in ("file", "file/below", "dangling/below"):
        with pytest.raises(UsageError, match="a folder is needed"):
            storage.writable_folder(tmp_path / name)
    assert storage.writable_folder(tmp_path / "new/deep") == str(tmp_path / "new/deep")
    assert not (tmp_path / "new").exists()
    assert storage.writable_folder("s3://bucket/x") == "s3://bucket/x"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match=f"new: {tmp_path} can't be written to"):
        storage.writable_folder(tmp_path / "new")


NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda b: not set(b) & set(b"\0/") and b not in (b".", b"..")
)


@given(NAMES)
def test_every_name_round_trips_as_valid_utf8(
    tmp_path_factory: pytest.TempPathFactory, name: bytes
) -> None:
    """Spaces, %, #, ?, line feeds, escape sequences, GBK: the URI leads back to the file."""
    folder = tmp_path_factory.mktemp("names")
    path = os.path.join(os.fsencode(folder), name)
    with open(path, "wb") as f:
        f.write(b"there")
    uri = storage.uri_of(os.fsdecode(path))
    uri.encode()
    assert storage.display(uri) == storage.display(os.fsdecode(path)) == uri
    assert storage.read_bytes(uri) == b"there" and storage.size(uri) == 5
    shown = [u for u, _, _ in walk.listing(folder)]
    assert shown == ([] if name[:1] in (b".", b"_") else [uri])
    assert storage.local_path(storage.escaped(os.fsdecode(path))) == Path(os.fsdecode(path))


def test_names_below_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"\xd3\xef")
    os.mkdir(folder)
    uri = storage.join(os.fsdecode(folder), "a b.txt")
    assert uri == f"file://{tmp_path}/%D3%EF/a%20b.txt"
    storage.write_bytes(uri, b"x")
    assert storage.read_bytes(uri) == b"x" and walk.list_files(os.fsdecode(folder)) == [uri]


def test_a_question_mark_in_a_file_uri_is_part_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "a?b#c").write_text("x")
    assert storage.local_path(f"file://{tmp_path}/a?b#c") == tmp_path / "a?b#c"
    assert storage.local_path(f"file://localhost{tmp_path}/a%3Fb%23c") == tmp_path / "a?b#c"
