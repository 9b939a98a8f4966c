"""What is read of Parquet files, and which."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.expectations import shards
from headrace.infra.releases import FileEntry

COLUMNS: dict[str, pa.DataType] = {"a": pa.int32(), "b": pa.string()}
SCHEMA = pa.schema(COLUMNS)


def put(path: Path, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": range(n), "b": ["x"] * n}, schema=SCHEMA), path)


def test_files_are_found_with_their_keys(tmp_path: Path) -> None:
    put(tmp_path / "documents/lang=zh/domain=legal/1.parquet", 2)
    put(tmp_path / "documents/lang=en/domain=legal/0.parquet", 3)
    (tmp_path / "documents/notes.txt").write_text("no Parquet")
    found = shards.shards(str(tmp_path), "documents")
    assert [(s.rows, s.keys["lang"], s.keys["domain"]) for s in found] == [
        (3, "en", "legal"),
        (2, "zh", "legal"),
    ]
    assert found[0].path == "documents/lang=en/domain=legal/0.parquet"
    assert shards.shards(str(tmp_path), "rejected") == []
    (table, _) = shards.read(found, ["b", "gone"])
    assert table.column_names == ["b"] and table.num_rows == 3


def test_wrong_columns_are_said() -> None:
    assert shards.wrong_columns(SCHEMA, SCHEMA) == ""
    columns: dict[str, pa.DataType] = {"a": pa.int64(), "c": pa.string()}
    other = pa.schema(columns)
    assert shards.wrong_columns(other, SCHEMA) == (
        "b is missing, c is not of the contract, a is int64, not int32"
    )


def test_a_sample_covers_the_rows_asked_for_and_is_the_same_every_time(tmp_path: Path) -> None:
    for i in range(10):
        put(tmp_path / f"documents/{i}.parquet", 10)
    found = shards.shards(str(tmp_path), "documents")
    chosen = shards.sample(found, 25)
    assert len(chosen) == 3
    assert chosen == shards.sample(found[::-1], 25)
    assert shards.sample(found, 1000) == found


def test_frame_compares_with_the_manifest(tmp_path: Path) -> None:
    put(tmp_path / "documents/0.parquet", 4)
    (shard,) = shards.shards(str(tmp_path), "documents")
    stated: dict[str, FileEntry] = {
        "documents/1.parquet": {
            "path": "documents/1.parquet",
            "rows": 7,
            "bytes": 1,
            "sha256": "0",
        },
        "ledger.parquet": {"path": "ledger.parquet", "rows": 1, "bytes": 1, "sha256": "0"},
    }
    frame = shards.frame([shard], [SCHEMA], stated)
    assert frame["path"].tolist() == ["documents/0.parquet", "documents/1.parquet"]
    assert frame["stated_sha256"].tolist() == ["not in the manifest", "0"]
    assert frame["sha256"].tolist()[1] == "the file is missing"
    assert list(shards.frame([shard], [SCHEMA], None).columns) == [
        "path",
        "rows",
        "bytes",
        "wrong_columns",
    ]
