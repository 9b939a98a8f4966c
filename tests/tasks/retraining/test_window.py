"""What a window is read from; those of inboxes: test_inbox.py."""

from pathlib import Path

import pytest

from headrace.infra.errors import InputError
from headrace.spark_jobs.settings import Source
from headrace.tasks.retraining.window import Window, check_there, is_there

PACKAGE = Source(uri="/p.jsonl", identity="pypi:p==1/p")


def test_several_windows_are_read_as_one() -> None:
    both = Window.of("/a.jsonl", "/b.jsonl")
    assert [s.uri for s in both.sources()] == ["/a.jsonl", "/b.jsonl"]
    assert both.parts == ["/a.jsonl", "/b.jsonl"] and both.single is None
    assert Window.of("/a.jsonl").single == "/a.jsonl"


def test_text_of_packages_is_called_by_its_identity() -> None:
    window = Window(inputs=(PACKAGE,))
    assert window.sources() == (PACKAGE,) and window.parts == ["pypi:p==1/p"]
    assert window.single is None and window.release is None


def test_what_is_not_there_is_found_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    with pytest.raises(InputError):
        check_there(str(path))
    path.write_text("{}")
    assert is_there(str(path)) and not is_there(str(tmp_path / "none.jsonl"))
