"""What a chain keeps of its drift rounds; the chain itself: tests/e2e/test_chain.py."""

from pathlib import Path
from typing import Any

import pytest

from headrace.spark_jobs.settings import Source
from headrace.tasks.lifecycle import round_once, window_key
from headrace.tasks.retraining.window import Window


def test_a_window_is_told_by_its_content_and_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for path in (one, two):
        path.write_text('{"text": "x"}\n')
    given = Window(inputs=(Source(uri=str(one)),))
    keys = [window_key(w) for w in (Window.of(str(one)), Window.of(str(two)), given)]
    assert keys[0] == keys[2] != keys[1]
    one.write_text('{"text": "y"}\n')
    assert window_key(Window.of(str(one))) not in keys


def test_each_window_has_a_round_of_its_own(tmp_path: Path) -> None:
    began: list[str] = []

    def make(version: str) -> dict[str, Any]:
        began.append(version)
        return {"from": version, "overtaken": False}

    first = round_once(tmp_path, "a", "1", make)
    assert round_once(tmp_path, "b", "2", make) == {"from": "2", "overtaken": False}
    # What was champion in between changes nothing of a round that is made.
    assert round_once(tmp_path, "a", "3", make) == first and began == ["1", "2"]


def test_a_round_that_was_cut_short_starts_where_it_began(tmp_path: Path) -> None:
    def killed(version: str) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        round_once(tmp_path, "a", "1", killed)
    # It may have promoted version 2 before.
    assert round_once(tmp_path, "a", "2", lambda v: {"from": v}) == {"from": "1"}


def test_a_round_that_was_overtaken_can_be_run_again(tmp_path: Path) -> None:
    late = round_once(tmp_path, "a", "1", lambda v: {"from": v, "overtaken": True})
    assert late["overtaken"]
    again = round_once(tmp_path, "a", "4", lambda v: {"from": v, "overtaken": False})
    assert again == {"from": "4", "overtaken": False}
