"""A walk ends, and finds every file once, whatever links and special files lie in its way."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.infra.files.walk import expand, is_folder, listing, look, walk


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def names(root: Path, found: Any) -> list[str]:
    return [x.uri.removeprefix(f"{root}/") for x in found]


def test_a_link_to_a_folder_above_is_followed_once(tmp_path: Path) -> None:
    root = tmp_path / "above" / "in"
    put(tmp_path, "above/beside.txt", "above/in/a.txt", "above/in/deep/b.txt")
    (root / "deep" / "up").symlink_to("..")
    (root / "far").symlink_to(tmp_path / "above")
    found = walk(root)
    assert names(root, found.files) == ["a.txt", "deep/b.txt", "far/beside.txt"]
    assert names(root, found.left_out) == ["deep/up", "far/in"]
    assert all(f"the same as {root}," in x.why for x in found.left_out)


def test_a_file_that_two_names_reach_is_read_by_its_own(tmp_path: Path) -> None:
    put(tmp_path, "z/real.txt", "outside.txt")
    root = tmp_path / "z"
    (root / "a.txt").symlink_to("real.txt")
    (root / "b.txt").symlink_to(tmp_path / "outside.txt")
    (root / "c.txt").symlink_to(tmp_path / "outside.txt")
    found = walk(root)
    assert names(root, found.files) == ["b.txt", "real.txt"]
    assert [(names(root, [x]), x.why) for x in found.left_out] == [
        (["a.txt"], f"the same as {root}/real.txt, which is read"),
        (["c.txt"], f"the same as {root}/b.txt, which is read"),
    ]


def test_what_is_no_file_is_listed_with_the_reason_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket may not be long
        s.bind("socket")
        os.chdir(here)
    errors = {names(tmp_path, [e])[0]: e.error for e in walk(tmp_path).files}
    assert errors == {
        "gone": "a dangling link",
        "round": "a link: Too many levels of symbolic links",
        "pipe": "a named pipe, not a file",
        "null": "a character device, not a file",
        "socket": "a socket, not a file",
    }
    assert listing(tmp_path) == []
    assert look(str(tmp_path / "pipe")).error == "a named pipe, not a file"
    with pytest.raises(OSError, match="named pipe"):
        storage.open_input(tmp_path / "pipe")


def test_a_folder_that_cannot_be_listed_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.txt", "shut/b.txt")
    list_it = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return list_it(path)

    monkeypatch.setattr(os, "scandir", scandir)
    first, second = walk(tmp_path).files
    assert not first.error and second.error == "a folder that can't be listed: Permission denied"


def test_hidden_ones_and_what_a_rule_excludes_are_named(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", ".git/x/y", "_SUCCESS", "no/b.txt", "deep/c.log")

    def rule(uri: str, inside: frozenset[str] | None) -> str:
        if inside is None:
            return "a log" if uri.endswith(".log") else ""
        return "refused" if "b.txt" in inside else ""

    found = walk(tmp_path, rule)
    assert names(tmp_path, found.files) == ["a.txt"]
    assert [(x.uri.removeprefix(f"{tmp_path}/"), x.why) for x in found.left_out] == [
        (".git", "hidden"), ("_SUCCESS", "hidden"), ("deep/c.log", "a log"), ("no", "refused"),
    ]  # fmt: skip


def test_what_a_uri_means(tmp_path: Path) -> None:
    put(tmp_path, "a[1].txt", "b.txt", "deep/c.txt")
    (tmp_path / "gone").symlink_to("nowhere")
    assert expand(tmp_path / "a[1].txt") == [str(tmp_path / "a[1].txt")]
    assert expand(f"{tmp_path}/*.txt") == [str(tmp_path / "a[1].txt"), str(tmp_path / "b.txt")]
    assert expand(tmp_path / "gone") == [str(tmp_path / "gone")]
    assert is_folder(str(tmp_path / "deep")) and not is_folder(str(tmp_path / "b.txt"))
    with pytest.raises(InputError, match="none"):
        expand(tmp_path / "none")


PATHS = ["a", "b", "a/c", "a/d", "a/c/e"]


@given(
    st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from("xyz")), max_size=8),
    st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from("lmn"), st.sampled_from([".", *PATHS])),
        max_size=6,
    ),
)
def test_every_file_is_found_once_whatever_links_there_are(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[str, str]],
    links: list[tuple[str, str, str]],
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for path in PATHS:
        (root / path).mkdir(parents=True, exist_ok=True)
    for folder, name in files:
        (root / folder / name).write_text("")
    for folder, name, target in links:
        if not (root / folder / name).is_symlink():
            (root / folder / name).symlink_to(root / target)
    found = walk(root)
    wanted = sorted(str(root / folder / name) for folder, name in set(files))
    assert [e.uri for e in found.files] == wanted
    assert len(found.left_out) == len({(folder, name) for folder, name, _ in links})
