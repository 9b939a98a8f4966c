import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError


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
    assert storage.list_files(tmp_path) == [str(tmp_path / "a/z.txt"), str(tmp_path / "b.txt")]
    assert storage.list_files(f"{tmp_path}/*.txt") == [str(tmp_path / "b.txt")]
    assert storage.list_files(tmp_path / "b.txt") == [str(tmp_path / "b.txt")]


def test_nothing_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    for uri in (tmp_path / "none", f"{tmp_path}/*.none"):
        with pytest.raises(InputError, match="none"):
            storage.list_files(uri)


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
        storage.list_files("s3://bucket/x")
    assert "AWS_ENDPOINT_URL" in error.value.hint


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
    shown = [u for u, _, _ in storage.listing(folder)]
    assert shown == ([] if name[:1] in (b".", b"_") else [uri])
    assert storage.local_path(storage.escaped(os.fsdecode(path))) == Path(os.fsdecode(path))


def test_names_below_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"\xd3\xef")
    os.mkdir(folder)
    uri = storage.join(os.fsdecode(folder), "a b.txt")
    assert uri == f"file://{tmp_path}/%D3%EF/a%20b.txt"
    storage.write_bytes(uri, b"x")
    assert storage.read_bytes(uri) == b"x" and storage.list_files(os.fsdecode(folder)) == [uri]


def test_a_question_mark_in_a_file_uri_is_part_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "a?b#c").write_text("x")
    assert storage.local_path(f"file://{tmp_path}/a?b#c") == tmp_path / "a?b#c"
    assert storage.local_path(f"file://localhost{tmp_path}/a%3Fb%23c") == tmp_path / "a?b#c"
