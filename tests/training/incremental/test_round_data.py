from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.infra.errors import ValidationError
from headrace.infra.lineage import is_heldout
from headrace.training.incremental.round_data import prepare
from headrace.training.incremental.settings import MaterialSettings
from headrace.training.moe import export

SETTINGS = MaterialSettings(tokens=8192, passes=2, fisher_tokens=512)


@pytest.fixture(scope="module")
def tokenizer(champion: str) -> Any:
    return export.load_tokenizer(champion)


def texts(table: Any) -> set[str]:
    return set(table["text"].to_pylist())


def test_nothing_that_judges_is_trained_on(corpora: dict[str, str], tokenizer: Any) -> None:
    got = prepare([corpora["new"]], [corpora["old"]], tokenizer, 32, SETTINGS, seed=1)
    seen = tokenizer.decode(got.batches.ravel().tolist())
    seen += tokenizer.decode(np.concatenate([b.numpy().ravel() for b in got.fisher]).tolist())
    for part in (got.validation, got.heldout):
        for kind in ("new", "old"):
            assert len(part[kind]) > 0
            assert not any(t in seen for t in texts(part[kind]))
    assert all(map(is_heldout, got.heldout["old"]["id"].to_pylist()))


def test_batches_hold_the_share_and_the_budget(corpora: dict[str, str], tokenizer: Any) -> None:
    got = prepare([corpora["new"]], [corpora["old"]], tokenizer, 32, SETTINGS, seed=1)
    assert got.new_rows == 6 and got.batches.shape[1:] == (8, 32)
    assert got.batches.size <= SETTINGS.tokens
    old = tokenizer.decode(got.batches[:, 6:].ravel().tolist())
    new = tokenizer.decode(got.batches[:, :6].ravel().tolist())
    assert "court" in old and "court" not in new and "zebra" in new and "zebra" not in old
    # Old text fills all Fisher batches, and none of it is padding.
    assert sum(b.numel() for b in got.fisher) == 512


def test_dialogues_have_their_place_in_each_batch(corpora: dict[str, str], tokenizer: Any) -> None:
    said = [[256, 7, 7, 7, 7], [256, 8, 8]] * 40
    got = prepare([corpora["new"]], [corpora["old"]], tokenizer, 32, SETTINGS, 1, said)
    assert got.new_rows == 5 and got.batches.shape[1:] == (8, 32)
    assert set(got.batches[:, 7].ravel().tolist()) == {256, 7, 8}
    assert "court" in tokenizer.decode(got.batches[:, 5:7].ravel().tolist())
    fisher = np.concatenate([b.numpy() for b in got.fisher])
    assert sum(set(row) <= {256, 7, 8} for row in fisher.tolist()) == len(fisher) // 3


def test_same_seed_same_material(corpora: dict[str, str], tokenizer: Any) -> None:
    def make(seed: int) -> Any:
        return prepare([corpora["new"]], [corpora["old"]], tokenizer, 32, SETTINGS, seed).batches

    assert np.array_equal(make(1), make(1)) and not np.array_equal(make(1), make(2))


def test_window_that_is_too_small(corpora: dict[str, str], tokenizer: Any, release: Any) -> None:
    window = release("small", ["one document", "another one", "a third"])
    with pytest.raises(ValidationError, match="too few"):
        prepare([window], [corpora["old"]], tokenizer, 32, SETTINGS, seed=1)


def test_corpus_without_heldout_records(
    corpora: dict[str, str], tokenizer: Any, release: Any
) -> None:
    bare = release("bare", ["a document that is not held out"])
    with pytest.raises(ValidationError, match="held-out"):
        prepare([corpora["new"]], [bare], tokenizer, 32, SETTINGS, seed=1)
