"""Alignment data: right files pass, each fault is named, unreadable files are an error."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.expectations import preferences
from headrace.infra.errors import InputError, ValidationError


def lines(path: Path, records: list[Any]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return str(path)


def pairs(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"p{i}", "chosen": f"c{i}", "rejected": f"r{i}"} for i in range(n)]


def test_right_files_pass(tmp_path: Path) -> None:
    assert preferences.validate(lines(tmp_path / "a.jsonl", pairs(9))).success
    sft = [{"prompt": f"p{i}", "response": "yes", "more": 1} for i in range(9)]
    pq.write_table(pa.Table.from_pylist(sft), tmp_path / "b.parquet")
    assert preferences.validate(str(tmp_path / "b.parquet")).held[0].suite == "instructions"
    prompts = lines(tmp_path / "c.jsonl", [{"prompt": "p"}, {"prompt": "q"}])
    assert preferences.validate(prompts).held[0].suite == "prompts"


def test_conversations_count_as_text(tmp_path: Path) -> None:
    turn = [{"role": "user", "content": "hello"}]
    assert preferences.validate(lines(tmp_path / "a.jsonl", [{"prompt": turn}])).success


def test_faults_are_named(tmp_path: Path) -> None:
    records = pairs(9)
    records[1]["prompt"] = " "
    records[2]["chosen"] = None
    records[3]["rejected"] = records[3]["chosen"]
    failed = preferences.validate(lines(tmp_path / "a.jsonl", records)).failed
    assert len(failed) == 3, failed
    assert "is not blank (prompt)" in failed[0] and "record 2" in failed[0]
    assert "has a value in every row (chosen)" in failed[1] and "record 3" in failed[1]
    assert "is not the rejected one" in failed[2] and "record 4" in failed[2]


def test_repeats_are_bounded(tmp_path: Path) -> None:
    assert preferences.validate(lines(tmp_path / "a.jsonl", pairs(5) + pairs(5))).success
    many = preferences.validate(lines(tmp_path / "b.jsonl", pairs(5) * 3)).failed
    assert len(many) == 1 and "repeats an earlier record" in many[0]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b'{"prompt": "a"}\n{"prompt": \n', InputError, "line 2: not a JSON object"),
        (b"[1]\n", InputError, "line 1: not a JSON object"),
        (b'{"prompt": "\xff"}\n', InputError, "line 1"),
        (b"\n\n", ValidationError, "no records"),
        (b'{"text": "a"}\n', ValidationError, "lack prompt; they have text"),
    ],
)
def test_unusable_files(tmp_path: Path, content: bytes, error: type[Exception], said: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(error, match=said):
        preferences.validate(str(tmp_path / "a.jsonl"))


def test_missing_or_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        preferences.validate(str(tmp_path / "gone.jsonl"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="not a Parquet file"):
        preferences.validate(str(tmp_path / "a.parquet"))


def test_a_kind_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="lack chosen, rejected"):
        preferences.validate(lines(tmp_path / "a.jsonl", [{"prompt": "p"}]), "preferences")
