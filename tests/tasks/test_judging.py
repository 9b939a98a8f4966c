from pathlib import Path

import pytest

from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.tasks.judging import read_suite, release_folder


def test_a_suite_is_read_with_language_and_domain_where_given(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "一", "lang": "zh"}\n\n{"text": "two", "other": 1}\n')
    table = read_suite(str(file))
    assert table.to_pylist() == [
        {"text": "一", "lang": "zh", "domain": None},
        {"text": "two", "lang": None, "domain": None},
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": 3}', '{"id": "x"}', '"text"'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_suite(str(file))


def test_no_file_and_no_document(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_suite(str(tmp_path / "none.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValidationError):
        read_suite(str(tmp_path / "empty.jsonl"))


def test_a_release_that_is_gone_says_what_to_give(state: Path) -> None:
    with pytest.raises(UsageError) as e:
        release_folder("0" * 32)
    assert "--suite" in e.value.hint
