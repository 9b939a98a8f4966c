"""What an input means: its files, and what of a folder is left out with a word."""

import os
from pathlib import Path

import pytest

from headrace.infra.state.state_dir import home
from headrace.spark_jobs.reading.input_files import gather
from headrace.spark_jobs.settings import Source


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('{"text": "x"}\n')
    return root


def found(
    root: Path, *inputs: Path | str, output: Path | None = None
) -> tuple[list[str], dict[str, str]]:
    """(names of the files, {name: why} of what is left out), below `root`."""
    files, out = gather([Source(uri=str(i)) for i in inputs], str(output) if output else None)
    cut = f"{root}/"
    return [f.removeprefix(cut) for f in files], {x.uri.removeprefix(cut): x.why for x in out}


def test_what_accompanies_the_data_of_a_folder_is_left_out_and_named(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "b.csv", "page.html", "book.txt", "README.md", "SHA256SUMS",
        "a.jsonl.md5", "LICENSE", "_SUCCESS", ".git/config", "a.jsonl~", "b.part")  # fmt: skip
    files, out = found(tmp_path, tmp_path)
    assert files == ["a.jsonl", "b.csv", "book.txt", "page.html"]
    assert out == {
        "README.md": "describes the data",
        "LICENSE": "describes the data",
        "SHA256SUMS": "checksums or a signature",
        "a.jsonl.md5": "checksums or a signature",
        "_SUCCESS": "hidden",
        ".git": "hidden",
        "a.jsonl~": "left by an editor or the system",
        "b.part": "still written, or a transfer cut off",
    }


def test_a_file_that_is_named_is_never_left_out(tmp_path: Path) -> None:
    put(tmp_path, "README.md", ".hidden.jsonl", "x.tmp", "SHA256SUMS")
    assert found(tmp_path, tmp_path / ".hidden.jsonl", tmp_path / "README.md") == (
        [".hidden.jsonl", "README.md"], {},
    )  # fmt: skip
    assert found(tmp_path, f"{tmp_path}/*") == (["README.md", "SHA256SUMS", "x.tmp"], {})
    assert found(tmp_path, tmp_path, tmp_path / "README.md")[0] == ["README.md"]


def test_the_output_and_the_state_folder_inside_an_input_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path, "in/a.jsonl", "in/out/releases/x/b.jsonl", "in/state/c.jsonl")
    monkeypatch.setenv("HEADRACE_HOME", str(root / "in" / "state"))
    (tmp_path / "in" / "link").symlink_to(home().root)
    files, out = found(root / "in", root / "in", output=root / "in" / "out")
    assert files == ["a.jsonl"]
    assert out == {
        "out": "the output folder",
        "state": "the state folder of headrace",
        "link": "the state folder of headrace",
    }


def test_an_output_folder_that_is_the_input_keeps_the_users_files(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "releases/x/b.jsonl", "latest.json", ".work/x/c.jsonl")
    files, out = found(tmp_path, tmp_path, output=tmp_path)
    assert files == ["a.jsonl"] and set(out) == {"releases", "latest.json", ".work"}


def test_other_outputs_and_releases_inside_an_input_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "one/releases/x/b.jsonl", "one/latest.json",
        "two/manifest.json", "two/ledger.parquet", "two/documents/c.jsonl",
        "own/latest.json", "own/d.jsonl")  # fmt: skip
    files, out = found(tmp_path, tmp_path)
    assert files == ["a.jsonl", "own/d.jsonl", "own/latest.json"] and set(out) == {"one", "two"}


def test_an_input_inside_the_output_is_read(tmp_path: Path) -> None:
    """A window may be a release, beside which its child is written."""
    documents = put(tmp_path, "out/releases/x/documents/a.jsonl") / "out/releases/x/documents"
    assert found(documents, documents, output=tmp_path / "out") == (["a.jsonl"], {})


def test_a_file_with_two_names_among_several_inputs_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    files, out = found(tmp_path, tmp_path / "b.jsonl", tmp_path / "a.jsonl", tmp_path / "a.jsonl")
    assert files == ["b.jsonl"]
    assert out == {"a.jsonl": f"the same as {tmp_path}/b.jsonl, which is read"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"\xd3\xef\xc1\xcf.jsonl"), "wb") as f:
        f.write(b"x")
    assert found(tmp_path, tmp_path)[0] == [f"file://{tmp_path}/%D3%EF%C1%CF.jsonl"]
    assert found(tmp_path, f"{tmp_path}/*.jsonl")[0] == [f"file://{tmp_path}/%D3%EF%C1%CF.jsonl"]
