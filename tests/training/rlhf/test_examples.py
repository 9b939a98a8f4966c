"""Alignment data: every fault says where it is and what to do; the held-out share is stable."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.errors import HeadraceError, InputError, ValidationError
from headrace.training.rlhf import examples
from headrace.training.rlhf.examples import read


def rows(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"question {i}", "response": f"answer {i}", "extra": i} for i in range(n)]


def lines(values: list[Any]) -> bytes:
    return "".join(json.dumps(v) + "\n" for v in values).encode()


def test_jsonl_gzip_and_parquet_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(60)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(rows(60))))
    pq.write_table(pa.Table.from_pylist(rows(60)), tmp_path / "c.parquet")
    found = [
        read(str(tmp_path / n), examples.SFT, 0.2, 1)
        for n in ("a.jsonl", "b.jsonl.gz", "c.parquet")
    ]
    assert found[0] == found[1] == found[2]
    assert set(found[0].train[0]) == {"prompt", "response"}
    assert len(found[0].train) + len(found[0].heldout) == 60


def test_a_prompt_is_held_out_whatever_stands_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(80)))
    (tmp_path / "b.jsonl").write_bytes(lines(rows(80)[::-1][:50]))
    whole = read(str(tmp_path / "a.jsonl"), examples.PPO, 0.25, 1)
    part = read(str(tmp_path / "b.jsonl"), examples.PPO, 0.25, 1)
    assert {r["prompt"] for r in part.heldout} < {r["prompt"] for r in whole.heldout}
    assert not {r["prompt"] for r in part.train} & {r["prompt"] for r in whole.heldout}


def test_a_held_out_file_of_a_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(rows(20)))
    (tmp_path / "heldout.jsonl").write_bytes(lines(rows(3)))
    (tmp_path / "manifest.json").write_text("{}")
    found = read(str(tmp_path), examples.SFT, 0.5, 1)
    assert (len(found.train), len(found.heldout)) == (20, 3)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("a.jsonl", b'{"prompt": "x", "response": "y"}\n{"prompt": \n', InputError, "line 2"),
        ("a.jsonl", b'["prompt"]\n', InputError, "line 1: not a JSON object"),
        ("a.jsonl", b'{"prompt": "\xff"}\n', InputError, "line 1"),
        (
            "a.jsonl",
            b'\n{"prompt": "x", "answer": "y"}\n',
            ValidationError,
            "line 2: no `response`",
        ),
        ("a.jsonl", b'{"prompt": "x", "response": null}\n', ValidationError, "`response` is None"),
        ("a.jsonl", b'{"prompt": "", "response": "y"}\n', ValidationError, "`prompt` is blank"),
        ("a.jsonl", b'{"prompt": "\\ud800", "response": "y"}', ValidationError, "surrogate"),
        ("a.jsonl", b"", ValidationError, "0 training rows"),
        ("a.csv", b"prompt,response\n", InputError, "neither JSON Lines nor Parquet"),
        ("a.parquet", b"PAR1 no", InputError, "not Parquet"),
        ("a.jsonl.gz", b"no gzip", InputError, "broken gzip"),
    ],
)
def test_faults_name_the_place(
    tmp_path: Path, name: str, content: bytes, error: type[HeadraceError], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        read(str(tmp_path / name), examples.SFT, 0.1, 1)
    assert said in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read(str(tmp_path / "none.jsonl"), examples.SFT, 0.1, 1)


def test_a_pair_without_a_difference_is_refused(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "same", "rejected": "same"}
    (tmp_path / "a.jsonl").write_bytes(lines([row]))
    with pytest.raises(ValidationError, match="are the same"):
        read(str(tmp_path / "a.jsonl"), examples.REWARD, 0.1, 1)


def test_parquet_without_the_column_says_what_is_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["x"], "text": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(ValidationError, match="no `response`"):
        read(str(tmp_path / "a.parquet"), examples.SFT, 0.1, 1)


def test_too_little_data_says_how_much_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(40)))
    with pytest.raises(ValidationError) as caught:
        read(str(tmp_path / "a.jsonl"), examples.SFT, 0.1, 16)
    assert "held-out rows" in caught.value.message
    assert "16" in caught.value.hint
