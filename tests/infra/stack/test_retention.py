"""What nothing needs any more goes when its time is over; all else stays, whatever works at it."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import audit
from headrace.infra.errors import ValidationError
from headrace.infra.stack import retention
from headrace.infra.stack.retention import (
    CHECKPOINTS,
    UNFINISHED,
    RetentionSettings,
    expired,
    remove,
    sizes,
)
from headrace.infra.state.clock import Stamp
from headrace.infra.state.state_dir import Home, home

DAYS = RetentionSettings()
AT_ONCE = RetentionSettings(spark_days=0, unfinished_days=0, checkpoint_days=0, quarantine_days=0)


def put(name: str, days: float = 0, content: bytes = b"x" * 100) -> Path:
    path = home().root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    when = time.time() - days * 86400
    for place in (path, *path.parents):
        if place == home().root:
            break
        os.utime(place, (when, when))
    return path


def listed(settings: RetentionSettings = DAYS) -> dict[str, str]:
    return {home().relative(e.path): e.kind for e in expired(home(), settings)}


KINDS = [
    ("spark/events/app-1", "spark/events/app-1", 30),
    ("spark/events/eventlog_v2_app-2/events_1", "spark/events/eventlog_v2_app-2", 30),
    ("spark/steps/scan-0123/answer.json", "spark/steps/scan-0123", 30),
    ("spark/local/blockmgr-1/x", "spark/local/blockmgr-1", 30),
    (".work/abc/scan/0000001.arrow", ".work/abc", 14),
    ("windows/.work/abc/scan/0000001.arrow", "windows/.work/abc", 14),
    ("quarantine/outbox/x.json", "quarantine/outbox/x.json", 365),
    ("quarantine/windows/a/x.json", "quarantine/windows/a/x.json", 365),
]


@pytest.mark.parametrize(("file", "gone", "days"), KINDS, ids=[f for f, _, _ in KINDS])
def test_each_kind_goes_after_its_days_and_not_before(file: str, gone: str, days: int) -> None:
    path = put(file, days - 1)
    assert listed() == {} and list(listed(AT_ONCE)) == [gone]
    put(file, days + 1)
    assert list(listed()) == [gone]
    (one,) = remove(home(), expired(home(), DAYS))
    assert one.bytes >= 100 and not path.exists() and not (home().root / gone).exists()
    assert not home().trash.exists() and listed(AT_ONCE) == {}


def test_checkpoints_go_when_their_stage_has_finished_and_nothing_else_of_it() -> None:
    for run in ("pretrain-1", "ewc-1", "sft-1"):
        put(f"runs/{run}/checkpoints/step-00000010/optimizer.safetensors", 400)
        put(f"runs/{run}/export/model.safetensors", 400)
        put(f"runs/{run}/metrics.jsonl", 400)
    put("runs/ewc-1/plain/checkpoints/step-00000020/state.json", 400)
    put("runs/pretrain-1/result.json", 6)
    put("runs/ewc-1/result.json", 8)
    assert listed() == {"runs/ewc-1/checkpoints": CHECKPOINTS,
                        "runs/ewc-1/plain/checkpoints": CHECKPOINTS}  # fmt: skip
    remove(home(), expired(home(), AT_ONCE))
    left = {home().relative(p) for p in home().runs.rglob("*") if p.is_file()}
    assert left == {
        *(f"runs/{r}/{f}" for r in ("pretrain-1", "ewc-1", "sft-1")
          for f in ("export/model.safetensors", "metrics.jsonl")),
        "runs/pretrain-1/result.json", "runs/ewc-1/result.json",
        "runs/sft-1/checkpoints/step-00000010/optimizer.safetensors",
    }  # fmt: skip


def test_what_a_process_works_at_is_left_alone() -> None:
    put(".work/abc/lock", 400)
    put("runs/ewc-1/checkpoints/step-00000010/x", 400)
    put("runs/ewc-1/result.json", 400)
    put("runs/ewc-1/.lock", 400)
    found = expired(home(), DAYS)
    assert {e.kind for e in found} == {CHECKPOINTS, UNFINISHED}
    locks = [home().root / ".work/abc/lock", home().runs / "ewc-1" / ".lock"]
    held = [os.open(path, os.O_RDWR) for path in locks]
    for fd in held:
        fcntl.flock(fd, fcntl.LOCK_EX)
    assert remove(home(), found) == []
    for fd in held:
        os.close(fd)
    assert len(remove(home(), found)) == 2


def recorded() -> list[Any]:
    return [line for line in audit.read(home().audit) if line["action"] == "gc"]


def test_whatever_is_removed_is_recorded() -> None:
    for file, _, days in KINDS:
        put(file, days + 1)
    gone = remove(home(), expired(home(), DAYS))
    (line,) = recorded()
    assert line["bytes"] == sum(e.bytes for e in gone) and line["by"] == "gc"
    assert {p for e in line["expired"] for p in e["paths"]} == {p for _, p, _ in KINDS}
    assert sum(e["items"] for e in line["expired"]) == len(KINDS)
    remove(home(), expired(home(), DAYS))
    assert len(recorded()) == 1, "nothing was removed"
    put(KINDS[0][0], 400)
    home().audit.write_bytes(b"x\n")
    with pytest.raises(ValidationError):
        remove(home(), expired(home(), DAYS))
    assert (home().root / KINDS[0][1]).exists(), "what can't be recorded is not removed"


WORKS = """
import sys
from headrace.infra.state import lock
from headrace.infra.state.state_dir import home
lock.work_in(home())
print("at work", flush=True)
sys.stdin.read()
"""


def test_what_has_no_lock_of_its_own_stays_while_anything_is_at_work() -> None:
    for file, _, _ in KINDS:
        put(file)
    put(".work/abc/lock")
    locked = put("runs/ewc-1/checkpoints/step-00000010/x")
    put("runs/ewc-1/.lock")
    put("runs/ewc-1/result.json")
    process = subprocess.Popen(
        [sys.executable, "-c", WORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "at work\n"
    gone = {home().relative(e.path) for e in retention.tidy(home(), AT_ONCE)}
    process.communicate("")
    assert gone == {".work/abc", "runs/ewc-1/checkpoints"} and not locked.exists()
    assert {home().relative(e.path) for e in retention.tidy(home(), AT_ONCE)} == {
        p for _, p, _ in KINDS if p != ".work/abc"
    }
    assert [line["by"] for line in recorded()] == ["worker", "worker"]


class Machine:
    """A machine whose clock can be set, and which can be off."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall, self.up, self.boot = time.time(), 90 * retention.DAY, "b1"
        patch.setattr("time.time", lambda: self.wall)
        patch.setattr(
            "headrace.infra.state.clock.stamp",
            lambda: Stamp(host="h", boot=self.boot, uptime=self.up),
        )

    def run(self, days: float) -> None:
        self.wall, self.up = self.wall + days * retention.DAY, self.up + days * retention.DAY

    def off(self, days: float, clock_error: float = 0) -> None:
        self.wall += (days + clock_error) * retention.DAY
        self.up, self.boot = 60.0, self.boot + "x"


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("days", [365, 8, -365])
def test_a_clock_that_was_set_removes_nothing_at_once(
    monkeypatch: pytest.MonkeyPatch, days: int, off: bool
) -> None:
    machine, file = Machine(monkeypatch), put(".work/abc/x")
    assert retention.tidy(home(), DAYS) == []
    if off:
        machine.off(0, days)
    else:
        machine.wall += days * retention.DAY
    for _ in range(6):
        assert retention.tidy(home(), DAYS) == [] and file.exists()
        machine.run(1)
    machine.wall -= days * retention.DAY  # it was noticed, and set right
    for _ in range(7):
        assert retention.tidy(home(), DAYS) == [] and file.exists()
        machine.run(1)
    machine.run(14)
    assert len(retention.tidy(home(), DAYS)) == 1


def test_what_was_off_for_a_few_days_or_runs_on_removes_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    retention.tidy(home(), DAYS)
    put(".work/abc/x", 13)
    machine.off(6)
    assert len(retention.tidy(home(), DAYS)) == 1
    put(".work/abc/x", 0)
    machine.run(40)
    assert len(retention.tidy(home(), DAYS)) == 1, "a machine that just ran on"
    put(".work/abc/x", 0)
    machine.off(60)
    assert retention.tidy(home(), DAYS) == [], "off for long: it may as well be its clock"
    machine.run(8)
    assert len(retention.tidy(home(), DAYS)) == 1


def test_the_code_that_executors_use_stays() -> None:
    for number in range(3):
        put(f"spark/code/{number}.zip", 100 - number)
        put(f"spark/code/{number}/headrace/x.py", 200 - number)
    assert sorted(listed()) == [
        "spark/code/0", "spark/code/0.zip", "spark/code/1", "spark/code/1.zip",
    ]  # fmt: skip


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x").write_text("x")
    for name in ("spark/events", ".work", "runs/a"):
        (home().root / name).mkdir(parents=True)
        (home().root / name / "checkpoints").symlink_to(tmp_path / "precious")
    put("runs/a/result.json", 400)
    assert listed(AT_ONCE) == {}
    (home().root / "windows").mkdir()
    (home().windows / ".work").symlink_to(tmp_path / "precious")
    assert listed(AT_ONCE) == {}
    assert sum(sizes(home()).values()) < 5_000


@given(st.dictionaries(
    st.sampled_from(["runs/a/export/m", "runs/a/checkpoints/c", "releases/r/d", "mlflow.db-wal",
                     "prefect/prefect.db", ".work/a/b", "windows/.work/x/y", "audit.jsonl",
                     "unknown/x", "logs/a.log", "checkpoints/x"]),
    st.integers(0, 5000), max_size=8,
))  # fmt: skip
def test_the_parts_add_up(files: dict[str, int]) -> None:
    place = Home(home().root / str(time.monotonic_ns()))
    for name, size in files.items():
        path = place.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    parts = sizes(place)
    assert sum(parts.values()) == sum(files.values())
    assert parts.get("checkpoints", 0) == files.get("runs/a/checkpoints/c", 0)
    assert list(parts.values()) == sorted(parts.values(), reverse=True)


def test_a_worker_keeps_the_state_folder_tidy() -> None:
    old, new = put(".work/old/x", 20), put(".work/new/x")
    code = (
        "from headrace.infra.state.state_dir import home; "
        "from headrace.infra.stack import retention as r; "
        "r.keep_tidy(home(), r.RetentionSettings(), 0.1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 60
        while old.exists() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert not old.exists() and new.exists()


def test_a_worker_is_told_what_up_was(monkeypatch: pytest.MonkeyPatch) -> None:
    assert retention.from_variable() is None
    told = RetentionSettings(runs_days=9, spark_days=0)
    for name, value in retention.to_variable(told).items():
        assert not set(value) & set(" ;#\"'%")
        monkeypatch.setenv(name, value)
    assert retention.from_variable() == told


def test_two_that_empty_the_trash_at_once_fail_not() -> None:
    for number in range(200):
        put(f".trash/{number}/deep/x")
    code = (
        "import sys; from pathlib import Path; from headrace.infra.stack.retention import empty; "
    )
    both = [subprocess.Popen([sys.executable, "-c", code + "empty(Path(sys.argv[1]))",
                              home().trash]) for _ in range(2)]  # fmt: skip
    assert [p.wait() for p in both] == [0, 0]
    retention.empty(home().trash)
    assert not home().trash.exists()
