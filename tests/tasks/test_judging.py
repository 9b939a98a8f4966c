from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.tasks.judging import decide, decided_before, read_suite, release_folder
from headrace.tasks.settings import GateSettings
from headrace.training.scoring.gate import Evidence, Sample


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


def evidence(name: str, bits: float) -> Evidence:
    size = np.full(40, 100.0)
    rates = np.linspace(1.8, 2.2, 40) + bits
    ids = tuple(map(str, range(40)))
    sample = Sample(ids, rates * size, size, {"lang": ("en",) * 40})
    return Evidence(name, {"old.bits_per_byte": sample}, data={"old": "r"})


def test_an_edited_policy_decides_anew_and_the_old_decision_stays(tmp_path: Path) -> None:
    text = "name: {}\nmetrics:\n  - {{name: old.bits_per_byte, require: {}, margin: {}}}\n"
    policy, folder = tmp_path / "p.yaml", tmp_path / "run"
    folder.mkdir()
    sides = evidence("champion", 0.0), evidence("challenger", 0.1)
    settings = GateSettings(policy=str(policy))

    def said() -> dict[str, Any]:
        return decide.fn(*sides, folder, settings, "first", 1, "7")

    policy.write_text(text.format("strict", "better", 0))
    assert said()["decision"] != "promote"
    policy.write_text(text.format("lax", "not_worse", 9))
    assert said()["decision"] == "promote" and said()["policy"] == "lax"
    assert len(list(folder.glob("decision-*.json"))) == 2
    before = decided_before(folder)
    assert before and before["compared_with"] == "7"
