import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from headrace.infra.errors import InputError, ValidationError
from headrace.training.data.batches import batch, document_mask
from headrace.training.data.shards import Rows, Shards


def test_rows_come_in_order_across_files_and_wrap_round(shards_folder: Path) -> None:
    split = Shards(str(shards_folder)).train
    assert len(split.files) > 1
    everything = split.take(0, split.rows).ids
    assert everything.shape == (split.rows, 64)
    np.testing.assert_array_equal(split.take(38, 5).ids, everything[38:43])
    np.testing.assert_array_equal(
        split.take(split.rows - 2, 4).ids, np.concatenate([everything[-2:], everything[:2]])
    )
    one = batch(split, 38, 5, separate=False)
    assert one.mask is None and one.ids.tolist() == everything[38:43].tolist()


def test_starts_point_at_the_documents_first_token(shards_folder: Path) -> None:
    rows = Shards(str(shards_folder)).train.take(0, 60)
    for ids, starts in zip(rows.ids, rows.starts, strict=True):
        assert np.flatnonzero(ids == 0).tolist() == starts.tolist()


def test_a_token_sees_its_own_document_only() -> None:
    rows = Rows(np.zeros((1, 6), dtype=np.int32), [np.array([2, 5], dtype=np.int32)])
    seen = document_mask(rows)[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_too_little_text_says_how_much_is_needed(shards_folder: Path) -> None:
    shards = Shards(str(shards_folder))
    shards.require(shards.train.rows)
    with pytest.raises(ValidationError, match="64,000 tokens"):
        shards.require(1000)


def test_what_is_no_token_folder_is_an_input_error(shards_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no manifest"):
        Shards(str(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(shards_folder, copy)
    path = copy / "train" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="differs from its manifest"):
        Shards(str(copy)).train.take(0, 1)
    (copy / "manifest.json").write_text(json.dumps({"vocabulary": 5}))
    with pytest.raises(InputError, match="sequence_length"):
        Shards(str(copy))
