"""Files of an inbox become windows, each file of exactly one, whatever happens in between."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.errors import GoneError, InputError
from headrace.infra.files import quarantine
from headrace.infra.stack import retention
from headrace.infra.stack.retention import RetentionSettings
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.settings import Source
from headrace.tasks.configuration.settings import InboxSettings
from headrace.tasks.retraining import inbox as windows
from headrace.tasks.retraining import records, rounds, trusted
from headrace.tasks.retraining.inbox import dissolve, next_windows, open_windows
from headrace.tasks.retraining.records import WINDOW
from headrace.tasks.retraining.rounds import State
from headrace.tasks.retraining.verdicts import Finding, keep_verdict, last_verdict
from headrace.tasks.retraining.window import Window

NOW = InboxSettings(settle_seconds=0)
FINE = Finding(drift=False, p_value=0.5, effect=0.0, drifted=(), report=None)


def put(inbox: Path, *names: str, age: float = 60) -> None:
    inbox.mkdir(exist_ok=True)
    for name in names:
        path = inbox / name
        path.write_text('{"text": "one"}\n')
        os.utime(path, (time.time() - age,) * 2)


def files(window: str) -> list[str]:
    return [Path(s.uri).name for s in Window.of(window).sources()]


def test_new_files_form_the_next_window(tmp_path: Path) -> None:
    put(tmp_path, "b.jsonl", "a.jsonl")
    (first,) = next_windows(str(tmp_path), NOW)
    assert files(first) == ["a.jsonl", "b.jsonl"]
    keep_verdict(first, FINE)
    assert next_windows(str(tmp_path), NOW) == []
    put(tmp_path, "c.jsonl")
    (second,) = next_windows(str(tmp_path), NOW)
    assert files(second) == ["c.jsonl"] and open_windows() == [first]
    keep_verdict(second, FINE)
    assert open_windows() == [first, second]
    rounds.close(first, State.REFUSED, "headrace")
    assert open_windows() == [second]
    last = last_verdict()
    assert last is not None and last.window == second and last.drift is False


def test_what_is_still_written_waits(tmp_path: Path) -> None:
    put(tmp_path, "done.jsonl", ".hidden", "_SUCCESS", "x.jsonl.tmp", "y.part", "z.jsonl~",
        "w.jsonl._COPYING_")  # fmt: skip
    put(tmp_path, "young.jsonl", age=5)
    (window,) = next_windows(str(tmp_path), InboxSettings(settle_seconds=30))
    assert files(window) == ["done.jsonl"]


def test_what_only_accompanies_text_is_in_no_window(tmp_path: Path) -> None:
    put(tmp_path, "news.jsonl", "README.md", "SHA256SUMS", "news.jsonl.md5")
    (window,) = next_windows(str(tmp_path), NOW)
    assert files(window) == ["news.jsonl"]


def test_names_that_are_not_utf8_and_what_is_no_file(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xd3\xef.jsonl")
    with open(name, "w") as f:
        f.write('{"text": "one"}\n')
    os.utime(name, (0, 0))
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    (window,) = next_windows(str(tmp_path), NOW)
    assert [s.uri for s in Window.of(window).sources()] == [f"file://{tmp_path}/%D3%EF.jsonl"]
    keep_verdict(window, FINE)
    assert next_windows(str(tmp_path), NOW) == []


def test_a_file_that_grows_with_an_old_time_waits(tmp_path: Path) -> None:
    put(tmp_path, "grows.jsonl", "still.jsonl")
    code = (
        "import os, time\n"
        "while True:\n"
        f"    f = open({str(tmp_path / 'grows.jsonl')!r}, 'a'); f.write('x'); f.close()\n"
        f"    os.utime({str(tmp_path / 'grows.jsonl')!r}, (1, 1)); time.sleep(.05)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code])
    try:
        while (tmp_path / "grows.jsonl").stat().st_mtime > 1:
            time.sleep(0.05)
        (window,) = next_windows(str(tmp_path), NOW)
    finally:
        writer.kill()
        writer.wait()
    assert files(window) == ["still.jsonl"]


def test_a_window_without_a_verdict_is_judged_again_and_stays_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (first,) = next_windows(str(tmp_path), NOW)
    put(tmp_path, "b.jsonl")  # a kill came before the verdict
    again = next_windows(str(tmp_path), NOW)
    assert again[0] == first and [files(w) for w in again] == [["a.jsonl"], ["b.jsonl"]]


def test_a_dissolved_window_leaves_its_number_to_what_is_kept_of_it(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (first,) = next_windows(str(tmp_path), NOW)
    assert open_windows() == [], "no round is made of a window before its verdict"
    rounds.close(first, State.UNREADABLE, "headrace")  # an alert named it by hand
    dissolve(first)
    (again,) = next_windows(str(tmp_path), NOW)
    keep_verdict(again, FINE)
    assert again != first and files(again) == ["a.jsonl"] and open_windows() == [again]


def test_a_copied_state_folder_has_windows_of_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home().inbox.mkdir(parents=True)
    put(home().inbox, "a.jsonl")
    (window,) = next_windows(str(home().inbox), NOW)
    keep_verdict(window, FINE)
    copy = tmp_path / "copy"
    shutil.copytree(home().root, copy)
    shutil.rmtree(home().root)
    monkeypatch.setenv("HEADRACE_HOME", str(copy))
    assert next_windows(str(home().inbox), NOW) == []
    (mine,) = open_windows()
    assert Window.of(mine).sources() == (Source(uri=str(copy / "inbox" / "a.jsonl")),)
    rounds.close(mine, State.CACHED, "headrace")
    again = tmp_path / "again"
    shutil.copytree(copy, again)
    monkeypatch.setenv("HEADRACE_HOME", str(again))
    assert open_windows() == [], "its round has closed it in the copy too"


def test_too_little_text_joins_what_comes_next(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    dissolve(next_windows(str(tmp_path), NOW)[0])
    put(tmp_path, "b.jsonl")
    assert [files(w) for w in next_windows(str(tmp_path), NOW)] == [["a.jsonl", "b.jsonl"]]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_every_file_is_in_exactly_one_window(steps: list[tuple[int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as place, mock.patch.object(windows, "_SECOND_LOOK", 0.0):
        inbox, number = Path(place), 0
        for new, verdict in steps:
            put(inbox, *(f"{number + i}.jsonl" for i in range(new)))
            number += new
            for window in next_windows(place, NOW):
                if verdict:
                    keep_verdict(window, FINE)
        mine = [
            str(path) for path in home().windows.glob(f"*/*{WINDOW}")
            if json.loads(path.read_text())["inbox"] == place
        ]  # fmt: skip
        taken = [name for w in mine for name in files(w)]
        assert sorted(taken) == sorted(f"{i}.jsonl" for i in range(number))


def test_two_monitors_at_once_make_one_window(tmp_path: Path) -> None:
    put(tmp_path, *(f"{i}.jsonl" for i in range(40)))
    code = (
        "import sys; from headrace.tasks.retraining.inbox import next_windows, watching\n"
        "from headrace.tasks.configuration.settings import InboxSettings\n"
        "with watching(sys.argv[1]):\n"
        "    next_windows(sys.argv[1], InboxSettings(settle_seconds=0))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    assert sorted(n for w in next_windows(str(tmp_path), NOW) for n in files(w)) == sorted(
        f"{i}.jsonl" for i in range(40)
    )


def test_a_changed_file_is_told_and_not_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a.jsonl")
    (window,) = next_windows(str(tmp_path), NOW)
    keep_verdict(window, FINE)
    (tmp_path / "a.jsonl").write_text('{"text": "two"}\n')  # as long as before
    assert next_windows(str(tmp_path), NOW) == [] and "a.jsonl has changed" in caplog.text
    with pytest.raises(GoneError, match=r"a\.jsonl was removed or changed since the window"):
        Window.of(window).sources()
    put(tmp_path, "a.jsonl", age=1)  # a copy has another time of change
    assert files(window) == ["a.jsonl"]
    caplog.clear()
    assert next_windows(str(tmp_path), NOW) == [] and not caplog.text
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(GoneError):
        Window.of(window).sources()
    tmp_path.rename(tmp_path.with_name("away"))
    with pytest.raises(InputError, match="no such folder") as e:
        Window.of(window).sources()
    assert not isinstance(e.value, GoneError)


def test_windows_are_read_as_inputs(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (window,) = next_windows(str(tmp_path), NOW)
    assert window.endswith(WINDOW) and str(home().windows) in window
    assert Window.of("x.jsonl").sources() == (Source(uri="x.jsonl"),)
    both = Window.of(window, "x.jsonl").sources()
    assert [s.uri for s in both] == [str(tmp_path / "a.jsonl"), "x.jsonl"]
    with pytest.raises(InputError, match="no window"):
        Window.of(str(tmp_path / f"1{WINDOW}")).sources()
    with pytest.raises(InputError, match="no such folder"):
        next_windows(str(tmp_path / "none"), NOW)


STRAY = [b"", b"{", b"{}", b"[]", b"\xff\x00", b'{"made": 1}', b'{"files": [{}], "inbox": "x"}']


@pytest.mark.parametrize("content", STRAY)
def test_a_stray_or_damaged_file_among_the_windows_stops_nothing(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a.jsonl")
    (first,) = next_windows(str(tmp_path), NOW)
    keep_verdict(first, FINE)
    folder = Path(first).parent
    for name in ("notes.json", "x.window.json", "000009.window.json", "x.verdict.json"):
        (folder / name).write_bytes(content)
    (folder / "000001.round.json").write_bytes(content)
    (folder.parent / "last.json").write_bytes(content)
    (folder.parent / "stray.window.json").write_bytes(content)
    shutil.copy(first, folder / "000001 (copy).window.json")
    put(tmp_path, "b.jsonl")
    (second,) = next_windows(str(tmp_path), NOW)
    assert files(second) == ["b.jsonl"], "what a copy of a window names is taken already"
    keep_verdict(second, FINE)
    assert open_windows() == [first, second]
    rounds.close(first, State.REFUSED, "headrace")
    assert open_windows() == [second] and last_verdict() is not None
    aside = {p.name for p in (home().quarantine / "windows" / folder.name).iterdir()}
    assert aside == {"x.window.json", "000009.window.json", "000001.round.json",
                     "000001 (copy).window.json"}  # fmt: skip
    assert all(name in caplog.text for name in aside)


@pytest.mark.parametrize("content", STRAY)
def test_the_files_of_a_damaged_window_form_another(content: bytes, tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (first,) = next_windows(str(tmp_path), NOW)
    keep_verdict(first, FINE)
    Path(first).write_bytes(content)
    assert open_windows() == []
    (again,) = next_windows(str(tmp_path), NOW)
    assert files(again) == ["a.jsonl"] and again != first


@pytest.mark.parametrize("content", STRAY)
def test_a_window_with_a_damaged_verdict_is_judged_again(content: bytes, tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl")
    (window,) = next_windows(str(tmp_path), NOW)
    keep_verdict(window, FINE)
    Path(window.replace(WINDOW, ".verdict.json")).write_bytes(content)
    (home().windows / "last.json").write_bytes(content)
    assert last_verdict() is None and open_windows() == []
    assert next_windows(str(tmp_path), NOW) == [window]
    keep_verdict(window, FINE)
    assert open_windows() == [window] and last_verdict() is not None


def test_a_file_that_was_written_before_the_clock_was_set_back_does_not_wait(
    tmp_path: Path,
) -> None:
    put(tmp_path, "old.jsonl", age=-30 * 86400)
    put(tmp_path, "now.jsonl", age=5)
    (window,) = next_windows(str(tmp_path), InboxSettings(settle_seconds=30))
    assert files(window) == ["old.jsonl"]


def _year(inbox: Path, count: int, keep: bool = True) -> Path:
    """Windows of one file each, all of them settled; the folder of their records."""
    inbox.mkdir(exist_ok=True)
    folder = windows._folder(str(inbox))
    folder.mkdir(parents=True)
    at = "2026-01-01T00:00:00+00:00"
    for number in range(1, count + 1):
        path = inbox / f"{number:06d}.jsonl"
        if keep:
            path.write_text("{}\n")
            os.utime(path, (number, number))
        file = {"uri": str(path), "bytes": 3, "changed": number * 10**9, "sha256": "x"}
        window = {"inbox": str(inbox), "number": number, "made": at, "files": [file]}
        verdict = {"window": "w", "judged": at, "drift": False}
        for ending, said in ((WINDOW, window), (records.VERDICT, verdict),
                             (records.ROUND, {"outcome": "Cached"})):  # fmt: skip
            (folder / f"{number:06d}{ending}").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("count", [300, pytest.param(8760, marks=pytest.mark.slow)])
def test_a_year_of_settled_windows_is_not_read_each_time(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "in"
    _year(inbox, count)
    assert next_windows(str(inbox), NOW) == [], "each file has its window"
    read, records = quarantine.read, []

    def counting(path: Path, check: Any) -> Any:
        records.append(path)
        return read(path, check)

    monkeypatch.setattr(quarantine, "read", counting)
    put(inbox, "new.jsonl")
    began = time.process_time()
    (window,) = next_windows(str(inbox), NOW)
    assert files(window) == ["new.jsonl"] and int(Path(window).name[:6]) == count + 1
    keep_verdict(window, FINE)
    assert open_windows() == [window]
    assert len(records) < 20 and time.process_time() - began < 3


def test_rounds_are_put_away_once_their_windows_are_listed(tmp_path: Path) -> None:
    taught: list[str] = []
    for inbox in (tmp_path / "in", tmp_path / "other"):
        put(inbox, "a.jsonl")
        (window,) = next_windows(str(inbox), NOW)
        keep_verdict(window, FINE)
        taught.append(window)
    rounds._new(State.CACHED, "headrace", taught, None, True)
    assert open_windows() == [] and next_windows(str(tmp_path / "in"), NOW) == []
    assert len(rounds.stored()) == 1, "the other inbox hasn't listed its window yet"
    assert next_windows(str(tmp_path / "other"), NOW) == [] and rounds.stored() == []
    (kept,) = (home().windows / "rounds" / "ended").iterdir()
    assert open_windows() == [] and retention.expired(home(), RetentionSettings()) == []
    os.utime(kept, (0, 0))
    assert [e.path for e in retention.expired(home(), RetentionSettings())] == [kept]


def test_retention_removes_settled_windows_and_no_file_is_read_twice(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    folder = _year(inbox, 30)
    old = time.time() - 400 * 86400
    for path in folder.iterdir():
        if int(path.name[:6]) <= 20:
            os.utime(path, (old, old))
    os.utime(folder / "000020.round.json")  # settled long after it was made
    keep = RetentionSettings()
    assert not retention.expired(home(), keep), "not yet known as settled"
    assert next_windows(str(inbox), NOW) == []
    gone = retention.remove(home(), retention.expired(home(), keep))
    assert len(gone) == 3 * 19 and {e.kind for e in gone} == {"settled windows"}
    for number in range(1, 11):
        (inbox / f"{number:06d}.jsonl").unlink()
    assert next_windows(str(inbox), NOW) == [], "the rest of the files is still taken"
    assert sorted(windows._settled(folder)) == list(range(11, 31))
    for path in inbox.iterdir():
        path.unlink()
    assert next_windows(str(inbox), NOW) == []
    assert len(windows._settled(folder)) == 20, "its disk may not be mounted"
    put(inbox, "new.jsonl")
    (window,) = next_windows(str(inbox), NOW)
    assert int(Path(window).name[:6]) == 31 and sorted(windows._settled(folder)) == list(
        range(20, 31)
    )


DAMAGED_LINES = [
    b"\xff", b"{", b"[]", b"3", b'{"number": 1}', b'{"number": "x", "files": []}',
    b'{"number": 1, "files": [{}]}', b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED_LINES)
def test_a_damaged_line_of_the_settled_windows_loses_no_file(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _year(tmp_path / "in", 4)
    next_windows(str(tmp_path / "in"), NOW)
    lines = (folder / windows.SETTLED).read_bytes().splitlines()
    (folder / windows.SETTLED).write_bytes(b"\n".join([content, *lines[1:]]))
    assert retention.expired(home(), RetentionSettings()) == []
    assert next_windows(str(tmp_path / "in"), NOW) == [] and "line 1 is skipped" in caplog.text
    assert sorted(windows._settled(folder)) == [1, 2, 3, 4]


def test_notes_of_alerts_expire_after_the_last_of_them(tmp_path: Path) -> None:
    for name in ("old", "again"):
        trusted.note(f"/{name}.jsonl")
    old = time.time() - 400 * 86400
    for path in (home().windows / "raised").iterdir():
        os.utime(path, (old, old))
    trusted.note("/again.jsonl")
    gone = retention.remove(home(), retention.expired(home(), RetentionSettings()))
    assert [e.kind for e in gone] == ["notes of alerts"]
    assert trusted.why_not("/old.jsonl", []) and not trusted.why_not("/again.jsonl", [])
