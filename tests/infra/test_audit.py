import errno
import json
import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import audit, audit_key
from headrace.infra.audit import AuditCheck
from headrace.infra.errors import UsageError, ValidationError
from headrace.infra.lineage import digest


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
    audit_key.record_file(path).unlink()  # a kill came before it was noted
    assert audit.verify(path).torn and audit.verify(path).lines == 1
    assert len(audit.read(path)) == 1
    write(path, 1)
    assert not audit.verify(path).torn and path.read_bytes().startswith(whole[:first])


def test_a_torn_line_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    path.write_bytes(path.read_bytes() + b'{"number": 3')
    audit.read(path)
    audit.read(path)
    assert [r.getMessage() for r in caplog.records if "never committed" in r.getMessage()] == [
        f"{path} line 3 lacks its end: that decision was never committed and doesn't count; "
        "the next decision takes its place"
    ]


@pytest.mark.parametrize("bytes_lost", [1, 2])
def test_a_line_that_was_noted_and_lost_its_end_counts_and_is_completed(
    tmp_path: Path, bytes_lost: int
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-bytes_lost])
    assert [e["to"] for e in audit.read(path)] == ["0", "1"]
    check = audit.verify(path)
    assert check.torn and check.lines == 2
    write(path, 1)
    assert path.read_bytes().startswith(whole) and len(audit.read(path)) == 3


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
    own = [p for p in synced if Path(p).is_relative_to(tmp_path)]
    assert own == [str(path), str(tmp_path), str(path)]


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
    audit_key.record_file(path).unlink()
    assert audit.verify(path).torn


def test_the_check_tells_of_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    nothing = AuditCheck(str(path), lines=0, last=None, torn=False, unsigned=0)
    assert audit.verify(path) == nothing
    write(path, 2)
    whole = audit.verify(path)
    assert whole.lines == 2 and not whole.torn
    assert whole.last == audit.read(path)[-1]["hash"]
    path.write_bytes(path.read_bytes() + b'{"number": 3')
    assert audit.verify(path) == replace(whole, torn=True)


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """What one can do who may write into the state folder alone: every hash computed anew."""
    entries = change([json.loads(line) for line in path.read_bytes().splitlines()])
    previous, lines = audit.GENESIS, []
    for number, entry in enumerate(entries, 1):
        entry = {**entry, "number": number, "previous": previous}
        entry.pop("hash")
        # In the order that `append` has.
        entry |= {k: entry.pop(k) for k in ("previous", "key", "hmac") if k in entry}
        entry["hash"] = previous = digest(entry)
        lines.append(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
    path.write_bytes(b"".join(lines))


def without(entry: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in keys}


def resigned(entry: dict[str, Any]) -> dict[str, Any]:
    forged = without(entry, "hmac", "hash") | {"key": "0123456789abcdef", "why": "forged"}
    return {**forged, "hmac": audit_key.sign(b"of the attacker", forged), "hash": ""}


REWRITES: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "a line's reason": lambda x: [x[0], {**x[1], "why": "forged"}, *x[2:]],
    "a line's account": lambda x: [{**x[0], "account": "mallory"}, *x[1:]],
    "a line left out": lambda x: [x[0], *x[2:]],
    "the last line left out": lambda x: x[:-1],
    "two lines swapped": lambda x: [x[1], x[0], *x[2:]],
    "a line without its signature": lambda x: [x[0], without(x[1], "key", "hmac"), *x[2:]],
    "no signature at all": lambda x: [
        {**without(e, "key", "hmac"), "why": "forged"} for e in x
    ],
    "signed by another's key": lambda x: [resigned(e) for e in x],
    "nothing left": lambda x: [],
}  # fmt: skip


@pytest.mark.parametrize("how", REWRITES)
def test_a_chain_that_was_written_anew_shows(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 4)
    rewrite(path, lambda entries: entries)
    assert audit.verify(path).lines == 4, "written anew as it was it holds"
    rewrite(path, REWRITES[how])
    with pytest.raises(ValidationError) as error:
        audit.verify(path)
    assert error.value.code == 4


@pytest.mark.parametrize("how", [h for h in REWRITES if h != "signed by another's key"])
def test_a_chain_that_was_written_anew_is_neither_followed_nor_added_to(
    tmp_path: Path, how: str
) -> None:
    """The next line would be noted, and hide what is missing."""
    path = tmp_path / "a.jsonl"
    write(path, 4)
    rewrite(path, REWRITES[how])
    forged = path.read_bytes()
    for use in (audit.read, lambda p: write(p, 1), audit.verify):
        with pytest.raises(ValidationError) as error:
            use(path)
        assert error.value.code == 4 and path.read_bytes() == forged


@given(st.integers(0, 4), st.sampled_from(["unsigned", "another's key"]), st.integers(0, 2))
def test_no_line_that_follows_can_be_forged(
    tmp_path_factory: pytest.TempPathFactory, kept: int, how: str, legacy: int
) -> None:
    """Of 4 lines, the first of them of an earlier version, some stay and forged ones follow."""
    path = tmp_path_factory.mktemp("audit") / "a.jsonl"
    old_lines(path, legacy)
    write(path, 4 - legacy)

    def forge(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        line = {**entries[-1], "action": "promote", "to": "7"}
        bare = without(line, "key", "hmac")
        return [*entries[:kept], *[bare if how == "unsigned" else resigned(line)] * 5]

    rewrite(path, forge)
    forged = path.read_bytes()
    for use in (audit.read, lambda p: write(p, 1)):
        with pytest.raises(ValidationError):
            use(path)
    assert path.read_bytes() == forged


def test_a_file_that_is_gone_is_not_begun_anew_in_the_same_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 3)
    path.unlink()
    for use in (audit.read, lambda p: write(p, 1)):
        with pytest.raises(ValidationError, match="the last 3 lines are missing"):
            use(path)
    assert not path.exists()


def test_a_folder_begun_anew_at_the_same_path_has_a_chain_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    for number in range(1, 4):
        folder.mkdir()
        write(folder / "a.jsonl", number)
        assert audit.verify(folder / "a.jsonl").lines == number
        shutil.rmtree(folder)
    assert audit.read(folder / "a.jsonl") == []


def test_a_backup_put_in_the_folders_place_is_used_as_it_is(tmp_path: Path) -> None:
    folder, backup = tmp_path / "state", tmp_path / "backup"
    folder.mkdir()
    write(folder / "a.jsonl", 2)
    shutil.copytree(folder, backup)
    write(folder / "a.jsonl", 2)
    folder.rename(tmp_path / "old")
    backup.rename(folder)
    write(folder / "a.jsonl", 1)
    assert audit.verify(folder / "a.jsonl").lines == 3


def test_a_line_that_another_process_adds_meanwhile_is_no_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    read = Path.read_bytes

    def slow(self: Path) -> bytes:
        found = read(self)
        if self == path:
            monkeypatch.undo()
            write(path, 1)
        return found

    monkeypatch.setattr(Path, "read_bytes", slow)
    assert len(audit.read(path)) == 2 and len(audit.read(path)) == 3


def test_a_line_says_which_account_wrote_it_whatever_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    made = audit.append(tmp_path / "a.jsonl", action="promote", who="A. Lead", to="1")
    assert made["who"] == "A. Lead"
    assert made["account"] == pwd.getpwuid(os.getuid()).pw_name and made["host"]
    monkeypatch.setattr(os, "getuid", lambda: 4_000_123)
    made = audit.append(tmp_path / "a.jsonl", action="promote", to="2")
    assert made["account"] == "4000123"


def old_lines(path: Path, n: int) -> None:
    """Lines as earlier versions wrote them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_key, "make", dict)
        write(path, n)


def test_lines_of_an_earlier_version_hold_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    old_lines(path, 2)
    assert audit.verify(path).unsigned == 2
    write(path, 2)
    check = audit.verify(path)
    assert (check.lines, check.unsigned) == (4, 2)


def test_what_is_signed_goes_on_signed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 1)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="no key to sign"):
        old_lines(path, 1)
    assert path.read_bytes() == before


def test_a_copy_holds_and_one_without_the_key_can_be_read_but_not_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "a.jsonl", tmp_path / "copy" / "a.jsonl"
    write(path, 2)
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert audit.verify(copy).lines == 2
    monkeypatch.setenv(audit_key.VARIABLE, str(tmp_path / "elsewhere" / "audit.key"))
    assert len(audit.read(copy)) == 2
    with pytest.raises(ValidationError, match="line 1: signed by the key") as error:
        audit.verify(copy)
    assert audit_key.VARIABLE in error.value.hint


def test_a_key_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, path = tmp_path / "keys" / "audit.key", tmp_path / "a.jsonl"
    monkeypatch.setenv(audit_key.VARIABLE, str(file))
    write(path, 1)
    file.write_text("ab" * 32 + "\n" + file.read_text())
    write(path, 1)
    assert audit.verify(path).lines == 2
    first, second = audit.read(path)
    assert first["key"] != second["key"] == next(iter(audit_key.keys()))


def test_a_file_restored_as_it_was_says_what_to_remove(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 2)
    path.unlink()
    with pytest.raises(ValidationError, match="the last 2 lines are missing") as error:
        audit.verify(path)
    assert str(audit_key.record_file(path)) in error.value.hint
    audit_key.record_file(path).unlink()
    assert audit.verify(path).lines == 0
