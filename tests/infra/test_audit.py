import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import audit
from headrace.infra.errors import ValidationError


def write(path: Path, n: int) -> None:
    for i in range(n):
        audit.append(path, action="promote", model="m", to=str(i), why="测试")


def test_a_chain_reads_back(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 3)
    entries = audit.read(tmp_path / "a.jsonl")
    assert [e["number"] for e in entries] == [1, 2, 3]
    assert entries[0]["previous"] == audit.GENESIS and entries[2]["previous"] == entries[1]["hash"]


def test_no_file_is_no_decision(tmp_path: Path) -> None:
    assert audit.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("fault", ["edit", "gap", "swap", "first"])
def test_a_fault_in_the_chain_shows(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    if fault == "edit":
        lines[1] = lines[1].replace(b'"to": "1"', b'"to": "7"')
    elif fault == "gap":
        del lines[2]
    elif fault == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        del lines[0]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValidationError) as e:
        audit.read(path)
    assert e.value.code == 4 and "line" in e.value.message


def test_a_torn_line_was_never_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number": 3, "ti')
    assert len(audit.read(path)) == 2
    write(path, 1)
    assert len(audit.read(path)) == 3
    assert path.read_bytes().startswith(whole)


@given(st.integers(0, 300), st.integers(0, 255))
def test_any_changed_byte_shows(tmp_path_factory: pytest.TempPathFactory, at: int, to: int) -> None:
    path = tmp_path_factory.mktemp("audit") / "a.jsonl"
    write(path, 2)
    raw = bytearray(path.read_bytes())
    # From the end of the file backwards, over both lines: the last byte as well.
    at = len(raw) - 1 - at
    if raw[at] == to:
        return
    raw[at] = to
    path.write_bytes(raw)
    with pytest.raises(ValidationError):
        audit.verify(path)


@pytest.mark.parametrize("end", [" ", "x", "}", "\r"])
def test_one_changed_byte_at_the_end_undoes_no_decision(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    edited = path.read_bytes().removesuffix(b"\n") + end.encode()
    path.write_bytes(edited)
    with pytest.raises(ValidationError, match="line 2") as e:
        audit.verify(path)
    assert e.value.code == 4
    with pytest.raises(ValidationError):
        write(path, 1)
    assert path.read_bytes() == edited, "nothing was cut off"


@given(st.data())
def test_a_last_line_without_its_end_blocks_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("audit") / "a.jsonl"
    write(path, 2)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first + 1, len(whole) - 1))
    path.write_bytes(whole[:cut])
    assert audit.verify(path)["torn"] and audit.verify(path)["lines"] == 1
    assert len(audit.read(path)) == 1
    write(path, 1)
    assert not audit.verify(path)["torn"] and path.read_bytes().startswith(whole[:first])


def test_a_torn_line_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    path.write_bytes(path.read_bytes()[:-1])
    audit.read(path)
    audit.read(path)
    assert [r.getMessage() for r in caplog.records if "never committed" in r.getMessage()] == [
        f"{path} line 2 lacks its end: that decision was never committed, and counts for nothing; "
        "the next decision takes its place"
    ]


def test_a_line_that_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    before = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=str(path)):
        write(path, 1)
    assert path.read_bytes() == before


def test_a_new_file_is_synced_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    sync = os.fsync

    def seen(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(os, "fsync", seen)
    path = tmp_path / "a.jsonl"
    write(path, 2)
    assert synced == [str(path), str(tmp_path), str(path)]


@pytest.mark.parametrize("form", ["space", "order", "twice", "empty line"])
def test_the_same_content_in_another_form_is_an_edit(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    one, two = path.read_bytes().splitlines(keepends=True)
    entry = json.loads(one)
    path.write_bytes(
        {
            "space": one.replace(b": ", b":\t", 1),
            "order": json.dumps(dict(reversed(entry.items())), ensure_ascii=False).encode() + b"\n",
            "twice": one.replace(b"{", b'{"number": 7, ', 1),
            "empty line": one + b"\n",
        }[form]
        + two
    )
    with pytest.raises(ValidationError, match="line"):
        audit.verify(path)


@pytest.mark.parametrize(
    "line", [b"[1]", b"[]", b'"x"', b'{"hash": 1, "who": "\\ud800"}', b"[" * 100_000, b"\xff"]
)
def test_a_line_that_holds_something_else_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(ValidationError, match="line 1: it is not a recorded decision"):
        audit.verify(path)
    path.write_bytes(line)
    assert audit.verify(path)["torn"]


def test_the_check_tells_of_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    nothing = {"file": str(path), "lines": 0, "last": None, "torn": False}
    assert audit.verify(path) == nothing
    write(path, 2)
    whole = audit.verify(path)
    assert whole["lines"] == 2 and not whole["torn"]
    assert whole["last"] == audit.read(path)[-1]["hash"]
    path.write_bytes(path.read_bytes() + b'{"number": 3')
    assert audit.verify(path) == {**whole, "torn": True}
