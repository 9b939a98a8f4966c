"""Token shards: right ones pass, each damage is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.expectations import tokens
from headrace.infra import lineage, storage
from headrace.infra.errors import InputError

LENGTH, VOCABULARY = 8, 50
Rows = list[dict[str, Any]]


def rows(first: int) -> Rows:
    """Two rows in which documents begin at 0 and 5 of the first row and at 3 of the second."""
    a = [0, first, 2, 3, 4, 0, 6, 7]
    b = [8, 9, 10, 0, first, 13, 14, 15]
    return [
        {"input_ids": a, "document_starts": [0, 5]},
        {"input_ids": b, "document_starts": [3]},
    ]


def write(folder: Path, train: Rows, heldout: Rows, **changes: Any) -> str:
    files = []
    for part, content in (("train", train), ("heldout", heldout)):
        path = folder / part / "0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(content, schema=tokens.COLUMNS), path)
        files.append(
            {
                "path": f"{part}/0.parquet",
                "rows": len(content),
                "bytes": path.stat().st_size,
                "sha256": lineage.sha256(path),
            }
        )
    storage.write_json(
        folder / "tokenizer" / "tokenizer.json",
        {"added_tokens": [{"id": 0, "content": "<|endoftext|>"}]},
    )
    manifest = {
        "tokens": LENGTH * len(train),
        "heldout_tokens": LENGTH * len(heldout),
        "sequence_length": LENGTH,
        "vocabulary": VOCABULARY,
        "files": files,
        **changes,
    }
    storage.write_json(folder / "manifest.json", manifest)
    return str(folder)


def test_right_shards_pass(tmp_path: Path) -> None:
    folder = write(tmp_path, rows(21), rows(22))
    result = tokens.validate(folder)
    assert result.failed == [] and result.evaluated > 15
    assert (tmp_path / "validation" / "index.html").exists()


def _long(r: Rows) -> None:
    r[1]["input_ids"].append(3)


def _id(r: Rows) -> None:
    r[1]["input_ids"][7] = VOCABULARY


def _negative(r: Rows) -> None:
    r[1]["input_ids"][7] = -1


def _outside(r: Rows) -> None:
    r[1]["document_starts"] = [3, LENGTH]


def _unmarked(r: Rows) -> None:
    r[0]["document_starts"] = [0]


def _elsewhere(r: Rows) -> None:
    r[1]["document_starts"] = [4]


def _order(r: Rows) -> None:
    r[0]["document_starts"] = [5, 0]


def _null(r: Rows) -> None:
    r[0]["input_ids"][1] = None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_long, "has rows of exact length"),
        (_id, "has ids of the vocabulary (largest_id)"),
        (_negative, "has ids of the vocabulary (least_id)"),
        (_outside, "has document starts within the row"),
        (_unmarked, "starts a document at each boundary token"),
        (_elsewhere, "starts a document at each boundary token"),
        (_order, "in rising order"),
        (_null, "has no null row, id or document start"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Rows], None], said: str) -> None:
    train = rows(21)
    damage(train)
    failed = tokens.validate(write(tmp_path, train, rows(22)), write=False).failed
    assert any(said in s and "train/0.parquet" in s for s in failed), failed


def test_counts_that_disagree(tmp_path: Path) -> None:
    failed = tokens.validate(write(tmp_path, rows(21), rows(22), tokens=99), write=False).failed
    assert any("tokens of train: manifest and rows" in s for s in failed)


def test_held_out_rows_among_the_training_rows(tmp_path: Path) -> None:
    failed = tokens.validate(write(tmp_path, rows(21), rows(21)), write=False).failed
    assert any("held-out rows that were trained on" in s for s in failed)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no token shards"):
        tokens.validate(str(tmp_path))
