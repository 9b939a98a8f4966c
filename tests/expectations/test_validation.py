"""Suites are run, sentences can be read, pages are escaped, nothing is lost on the way."""

import json
from pathlib import Path

import pandas as pd

from headrace.expectations import validation
from headrace.expectations.suites.phrases import (
    among,
    between,
    columns,
    distinct,
    equal,
    filled,
    matching,
)
from headrace.expectations.validation import Suite

FRAME = pd.DataFrame(
    {"id": ["a", "b", "<b>"], "n": [1, 2, 30], "m": [1, 2, 3], "t": ["x", None, "x"]}
)
ALL = (
    columns(["id", "n", "m", "t"]),
    filled("t"),
    matching("id", "^[a-z]$", "is a letter"),
    among("t", ["x"], "is x"),
    between("n", 0, 10, "is small"),
    between("n", 0, 10, "is mostly small", mostly=0.6),
    distinct("t", "is not repeated"),
    equal("n", "m", "agrees"),
)


def test_each_kind_of_expectation_comes_out_as_it_must() -> None:
    result = validation.run([Suite("frame", FRAME, ALL, "id")])
    assert [h.success for h in result.results] == [
        True,
        False,
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    assert [h.says for h in result.results] == [e.says for e in ALL]
    assert result.evaluated == len(ALL) and not result.success
    assert result.failed == [
        "frame: has a value in every row (t): 1 of 3 do not, such as id b, t None",
        "frame: is a letter (id): 1 of 3 do not, such as id <b>",
        "frame: is small (n): 1 of 3 do not, such as id <b>, n 30",
        "frame: is not repeated (t): 2 of 3 do not, such as id a, t x; id <b>, t x",
        "frame: agrees (n and m): 1 of 3 do not, such as id <b>, m 3, n 30",
    ]


def test_a_missing_column_fails_with_a_sentence() -> None:
    result = validation.run([Suite("frame", FRAME, (columns(["id"]), filled("gone")), "id")])
    assert not result.success
    assert "gone" in result.failed[1] and "could not be evaluated" in result.failed[1]
    assert all("\n" not in s and "Traceback" not in s for s in result.failed)


def test_an_empty_frame_or_suite_is_left_out() -> None:
    result = validation.run([Suite("none", FRAME.iloc[:0], ALL), Suite("free", FRAME, ())])
    assert result.success and result.evaluated == 0


def test_written_pages_are_escaped(tmp_path: Path) -> None:
    result = validation.run([Suite("frame", FRAME, ALL, "id")])
    validation.write(result, "Release <i>", str(tmp_path))
    page = (tmp_path / "index.html").read_text()
    assert "<b>," not in page and "&lt;b&gt;, n 30" in page and "Release &lt;i&gt;" in page
    assert "5 fail" in page
    said = json.loads((tmp_path / "results.json").read_text())
    assert said["failed"] == result.failed and len(said["results"]) == len(ALL)


def test_long_values_are_cut() -> None:
    frame = pd.DataFrame({"id": ["x" * 500], "t": [None]})
    (sentence,) = validation.run([Suite("frame", frame, (filled("t"),), "id")]).failed
    assert len(sentence) < 200 and "…" in sentence
