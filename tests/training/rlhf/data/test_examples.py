"""Alignment data: every fault says where it is and what to do; the held-out share is stable."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from headrace.infra.errors import HeadraceError, InputError, ValidationError
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.data.examples import read
from headrace.training.rlhf.stages import PPO, REWARD, SFT


def rows(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"question {i}", "response": f"answer {i}", "extra": i} for i in range(n)]


def lines(values: list[Any]) -> bytes:
    return "".join(json.dumps(v) + "\n" for v in values).encode()


GOOD = gzip.compress(lines(rows(60)))
ZSTD = zstandard.ZstdCompressor().compress(lines(rows(60)))


def test_jsonl_gzip_and_parquet_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(60)))
    (tmp_path / "b.jsonl.gz").write_bytes(GOOD)
    (tmp_path / "d.jsonl.zst").write_bytes(ZSTD)
    (tmp_path / "e.jsonl").write_bytes(GOOD)
    (tmp_path / "f.jsonl.gz").write_bytes(lines(rows(60)))
    pq.write_table(pa.Table.from_pylist(rows(60)), tmp_path / "c.parquet")
    found = [
        read(str(tmp_path / n), SFT.columns, 0.2, 1)
        for n in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d.jsonl.zst", "e.jsonl", "f.jsonl.gz")
    ]
    assert all(f == found[0] for f in found)
    assert set(found[0].train[0]) == {"prompt", "response"}
    assert len(found[0].train) + len(found[0].heldout) == 60


def test_a_prompt_is_held_out_whatever_stands_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(80)))
    (tmp_path / "b.jsonl").write_bytes(lines(rows(80)[::-1][:50]))
    whole = read(str(tmp_path / "a.jsonl"), PPO.columns, 0.25, 1)
    part = read(str(tmp_path / "b.jsonl"), PPO.columns, 0.25, 1)
    assert {r["prompt"] for r in part.heldout} < {r["prompt"] for r in whole.heldout}
    assert not {r["prompt"] for r in part.train} & {r["prompt"] for r in whole.heldout}


def test_a_held_out_file_of_a_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(rows(20)))
    (tmp_path / "heldout.jsonl").write_bytes(lines(rows(3)))
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "README").write_text("What this is.")
    (tmp_path / "SHA256SUMS").write_text("0  train.jsonl")
    found = read(str(tmp_path), SFT.columns, 0.5, 1)
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
        ("a.jsonl.gz", b"no gzip", InputError, "line 1: not JSON"),
        ("a.jsonl.gz", GOOD[:-9], InputError, "line 61: truncated gzip"),
        ("a.jsonl.gz", GOOD + b"\x1f\x8b\x08\xff" + b"\xff" * 50, InputError, "damaged gzip"),
        ("a.jsonl.zst", ZSTD[:-9], InputError, "truncated zstd"),
    ],
)
def test_faults_name_the_place(
    tmp_path: Path, name: str, content: bytes, error: type[HeadraceError], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        read(str(tmp_path / name), SFT.columns, 0.1, 1)
    assert said in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read(str(tmp_path / "none.jsonl"), SFT.columns, 0.1, 1)


def test_a_pair_without_a_difference_is_refused(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "same", "rejected": "same"}
    (tmp_path / "a.jsonl").write_bytes(lines([row]))
    with pytest.raises(ValidationError, match="are the same"):
        read(str(tmp_path / "a.jsonl"), REWARD.columns, 0.1, 1)


def test_parquet_without_the_column_says_what_is_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["x"], "text": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(ValidationError, match="no `response`"):
        read(str(tmp_path / "a.parquet"), SFT.columns, 0.1, 1)


def test_too_little_data_says_how_much_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(40)))
    with pytest.raises(ValidationError) as caught:
        read(str(tmp_path / "a.jsonl"), SFT.columns, 0.1, 16)
    assert "held-out rows" in caught.value.message
    assert "16" in caught.value.hint


ROW = b'{"prompt": "p", "response": "r"}\n'


@pytest.mark.parametrize(
    ("start", "part", "times", "free", "said"),
    [
        (ROW + b'{"prompt": "', b"a" * 1_000_000, 300, 1 << 30, "line 2: longer than 16 MiB"),
        (ROW, b"\n" * 10_000, 3000, 1 << 20, "unpacks to more than"),
        (b"", ROW * 1000, 900, 1 << 20, "unpacks to more than"),
    ],
)
def test_a_gzip_bomb_is_an_error_that_names_file_and_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: bytes,
    part: bytes,
    times: int,
    free: int,
    said: str,
) -> None:
    monkeypatch.setattr(examples, "FREE_BYTES", free)
    monkeypatch.setattr(examples, "EXPANSION", 3)
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as f:
        f.write(start)
        for _ in range(times):
            f.write(part)
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        read(str(path), SFT.columns, 0.1, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"{path}, line " in caught.value.message and said in caught.value.message
    assert peak < 60 << 20


def test_a_parquet_bomb_is_an_error_that_names_file_and_row(tmp_path: Path) -> None:
    """A value of two megabytes, once in the file and in each of a thousand rows."""
    value = pa.array(["x" * 2_000_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), value.dictionary)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": column, "response": ["r"] * 1000}), path)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.parquet, row 34: more than"):
        read(str(path), SFT.columns, 0.1, 1)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_parquet_with_two_columns_of_one_name_or_none(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["prompt", "prompt"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="two columns are called `prompt`"):
        read(str(tmp_path / "a.parquet"), PPO.columns, 0.1, 1)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(ValidationError, match="no `prompt`"):
        read(str(tmp_path / "b.parquet"), PPO.columns, 0.1, 1)
    pq.write_table(pa.table({"prompt": [1, 2]}), tmp_path / "c.parquet")
    with pytest.raises(ValidationError, match="`prompt` is 1"):
        read(str(tmp_path / "c.parquet"), PPO.columns, 0.1, 1)
