import json
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


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_shows(tmp_path_factory: pytest.TempPathFactory, at: int, to: int) -> None:
    path = tmp_path_factory.mktemp("audit") / "a.jsonl"
    write(path, 2)
    raw = bytearray(path.read_bytes())
    before = audit.read(path)
    at = at % raw.index(b"\n")
    if raw[at] == to:
        return
    raw[at] = to
    path.write_bytes(raw)
    try:
        after = audit.read(path)
    except (ValidationError, UnicodeDecodeError):
        return
    # White space between keys is the only thing that may differ without being a change.
    assert after == before and json.loads(bytes(raw).splitlines()[0])
