"""Which text an alert may name."""

import json
import os
import shutil
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import InboxSettings, MonitorConfig
from headrace.tasks.retraining import monitoring, trusted
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.alerts import emit
from headrace.tasks.retraining.inbox import next_windows
from headrace.tasks.retraining.verdicts import Finding, keep_verdict


def test_an_alert_names_what_lies_in_the_state_folder_and_in_trusted_places(
    tmp_path: Path,
) -> None:
    roots = ["s3://corpus/new/", str(tmp_path / "drop")]
    for window in (
        str(home().inbox / "a.jsonl"),
        str(home().windows / "1a" / "000001.window.json"),
        (home().inbox / "a b.jsonl").as_uri(),
        "s3://corpus/new/may/x.jsonl",
        "s3://corpus/new",
        str(tmp_path / "drop" / "x" / "*.jsonl"),
    ):
        assert trusted.why_not(window, roots) is None, window


def test_an_alert_on_any_other_text_is_refused(tmp_path: Path) -> None:
    roots = ["s3://corpus/new/", str(tmp_path / "drop")]
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "link").symlink_to("/etc")
    for window in (
        "/etc/passwd",
        str(tmp_path / "dropped.jsonl"),
        str(tmp_path / "drop" / ".." / "secret"),
        str(tmp_path / "drop" / "link" / "passwd"),
        f"{home().inbox}/../../secret",
        f"file://{tmp_path}/secret",
        "s3://corpus/newer/x",
        "s3://corpus/new/../old/x",
        "s3://other/new/x",
        "passwd",
    ):
        assert "alert_roots" in str(trusted.why_not(window, roots)), window
    assert "gs" in str(trusted.why_not("gs://corpus/new/x", roots))


def test_what_the_owner_raises_may_be_anywhere(tmp_path: Path) -> None:
    window = str(tmp_path / "w.jsonl")
    assert trusted.why_not(window, []) is not None
    emit(Alert(window=window), Shared())
    assert trusted.why_not(window, []) is not None, "an alert that was put off, say"
    emit(Alert(window=window), Shared(), owners=True)
    assert trusted.why_not(window, []) is None
    assert trusted.why_not(str(tmp_path / "v.jsonl"), []) is not None


@pytest.mark.parametrize("root", ["/", "s3://corpus"])
def test_a_wide_root_is_the_owners_choice(root: str) -> None:
    assert trusted.why_not(f"{root.rstrip('/')}/any/x.jsonl", [root]) is None


def text(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"text": "one"}\n')
    os.utime(path, (1, 1))
    return path


def _folder(drop: Path, diary: Path) -> str:
    text(drop / "set" / "a.jsonl")
    (drop / "set" / "b.jsonl").symlink_to(diary)
    return str(drop / "set")


def _linked_folder(drop: Path, diary: Path) -> str:
    (drop / "set").mkdir()
    (drop / "set" / "more").symlink_to(diary.parent)
    return str(drop / "set")


def _glob(drop: Path, diary: Path) -> str:
    (drop / "linked").symlink_to(diary.parent)
    return str(drop / "l*" / diary.name)


def _window(drop: Path, diary: Path) -> str:
    made = json.loads(Path(_of_inbox(diary.parent)).read_text())
    path = drop / "000001.window.json"
    path.write_text(json.dumps(made))
    return str(path)


def _of_inbox(inbox: Path) -> str:
    """A window that somebody had a deployed monitor make of another folder."""
    (window,) = next_windows(str(inbox), InboxSettings(settle_seconds=0))
    return window


def _release(drop: Path, diary: Path, *names: str, parent: str | None = None) -> str:
    folder = drop / "r1"
    text(folder / "documents" / "lang=en" / "domain=general" / "part.jsonl")
    said = {"release_id": "r1", "parent": parent, "files": [{"path": name} for name in names]}
    (folder / "manifest.json").write_text(json.dumps(said))
    return str(folder)


LED_ASTRAY: dict[str, Callable[[Path, Path], str]] = {
    "a link in a folder": _folder,
    "a linked folder": _linked_folder,
    "a glob through a linked folder": _glob,
    "a window in a trusted place": _window,
    "a window of another folder": lambda drop, diary: _of_inbox(diary.parent),
    "a manifest": lambda drop, diary: _release(drop, diary, "documents/../../../priv/diary.jsonl"),
    "an absolute path in a manifest": lambda drop, diary: _release(
        drop, diary, "/../" * 20 + str(diary)
    ),
    "a manifest's parent": lambda drop, diary: _release(drop, diary, parent="../priv/r0"),
}  # fmt: skip


@pytest.mark.parametrize("how", LED_ASTRAY)
def test_no_file_outside_is_read_whatever_leads_there(how: str, tmp_path: Path) -> None:
    drop, diary = tmp_path / "drop", text(tmp_path / "priv" / "diary.jsonl")
    drop.mkdir()
    before = _release(tmp_path / "priv", diary)
    shutil.move(before, tmp_path / "priv" / "r0")
    if "of another" in how:
        shutil.rmtree(tmp_path / "priv" / "r0")
    window = LED_ASTRAY[how](drop, diary)
    why = trusted.why_not(window, [str(drop)])
    if how == "a window in a trusted place":
        from headrace.infra.errors import InputError
        from headrace.tasks.retraining.window import Window

        assert why is None, "it is no window there"
        with pytest.raises(InputError, match="no window"):
            Window.of(window).sources()
        return
    assert why is not None and "leads to" in why and "alert_roots" in why
    assert trusted.why_not(window, [str(tmp_path)]) is None


def test_links_within_trusted_places_are_followed(tmp_path: Path) -> None:
    drop, real = tmp_path / "drop", tmp_path / "disk"
    text(real / "a.jsonl")
    drop.symlink_to(real)
    (real / "b.jsonl").symlink_to("a.jsonl")
    for window in (drop, real, drop / "b.jsonl", drop / "*.jsonl"):
        assert trusted.why_not(str(window), [str(drop)]) is None, window
    assert trusted.why_not(_release(real, real), [str(drop)]) is None
    home().inbox.mkdir(parents=True)
    text(home().inbox / "x.jsonl")
    assert trusted.why_not(_of_inbox(home().inbox), []) is None


@pytest.mark.parametrize("name", ["stack/secrets.json", "receiver.json", "deploy.json", "stack"])
def test_passwords_in_the_state_folder_are_no_text(name: str, tmp_path: Path) -> None:
    text(home().root / "stack" / "secrets.json")
    for place in (str(home().root / name), str(home().root)):
        assert trusted.why_not(place, [str(home().root.parent)]) is not None
    (home().inbox).mkdir()
    (home().inbox / "x.jsonl").symlink_to(home().root / "stack" / "secrets.json")
    assert trusted.why_not(str(home().inbox), []) is not None


def test_what_links_lead_to_out_of_an_inbox_is_in_no_window(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = tmp_path / "in"
    diary = text(tmp_path / "priv" / "diary.jsonl")
    text(inbox / "a.jsonl")
    (inbox / "linked.jsonl").symlink_to(diary)
    (inbox / "more").symlink_to(diary.parent)
    window = _of_inbox(inbox)
    said = json.loads(Path(window).read_text())
    assert [Path(f["uri"]).name for f in said["files"]] == ["a.jsonl"]
    assert "linked.jsonl is skipped" in caplog.text
    keep_verdict(window, Finding(drift=False))
    assert next_windows(str(inbox), InboxSettings(settle_seconds=0)) == []


@pytest.mark.parametrize("run_by", [None, "9d1c"])
def test_an_alert_of_a_deployed_monitor_is_not_the_owners(
    run_by: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = str(text(tmp_path / "w.jsonl"))
    drift = Finding(drift=True, p_value=0.0, effect=1.0, drifted=("lang",), report=None)
    monkeypatch.setattr(monitoring, "compare_texts", lambda *_: drift)
    monkeypatch.setattr(monitoring, "deployment", types.SimpleNamespace(id=run_by))
    monitoring.judge_window(window, window, MonitorConfig())
    assert (trusted.why_not(window, []) is None) == (run_by is None)
