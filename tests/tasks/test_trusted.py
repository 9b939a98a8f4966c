"""Which text an alert may name."""

from pathlib import Path

import pytest

from headrace.infra.home import home
from headrace.infra.settings import Shared
from headrace.tasks import trusted
from headrace.tasks.alerts import emit


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
    emit({"window": window}, Shared())
    assert trusted.why_not(window, []) is None
    assert trusted.why_not(str(tmp_path / "v.jsonl"), []) is not None


@pytest.mark.parametrize("root", ["/", "s3://corpus"])
def test_a_wide_root_is_the_owners_choice(root: str) -> None:
    assert trusted.why_not(f"{root.rstrip('/')}/any/x.jsonl", [root]) is None
