"""The champion's loss on each document: of what curation keeps, and of what was held back."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate import model_loss
from headrace.tasks.mlflow_log import registry

Make = Callable[..., str]


@pytest.fixture
def export(champion: Make, release: Make) -> str:
    champion(
        "ppo-1", release("base", [f"The court heard case {i}." for i in range(300)]), None, True
    )
    return str(registry("headrace").champion().export)


def window(texts: list[str], levels: list[str | None]) -> pa.Table:
    return pa.table(
        {
            "text": texts,
            "lang": ["en"] * len(texts),
            "domain": pa.array([None] * len(texts), pa.string()),
            "level": pa.array(levels, pa.string()),
        }
    )


def test_only_what_curation_keeps_is_scored_and_keeps_its_row(export: str) -> None:
    texts = [f"The ship {i} sailed at noon." for i in range(30)]
    levels = ["format" if i % 3 == 0 else None for i in range(30)]
    scored = model_loss.window_losses(export, window(texts, levels), 100)
    assert scored is not None
    assert scored["row"].to_pylist() == [i for i in range(30) if i % 3]
    assert scored["bytes"].to_pylist() == [len(texts[i]) for i in range(30) if i % 3]
    rates = np.array(scored["bits"]) / np.array(scored["bytes"])
    # An untrained model over 261 tokens of a byte each.
    assert np.allclose(rates, math.log2(261), atol=1.0)


def test_of_many_documents_some_all_over_the_window_are_scored(export: str) -> None:
    texts = [f"The ship {i} sailed at noon." for i in range(100)]
    scored = model_loss.window_losses(export, window(texts, [None] * 100), 5)
    assert scored is not None and scored["row"].to_pylist() == [0, 24, 49, 74, 99]


def test_a_window_of_which_nothing_is_kept_has_no_loss(export: str) -> None:
    assert model_loss.window_losses(export, window(["a", "b"], ["format", None]), 9) is None


def test_of_a_taught_window_what_its_round_held_back_is_scored_once(
    export: str, release: Make, state: Path
) -> None:
    from headrace.infra.releases import read_documents
    from headrace.training.incremental.split import split_window

    folder = release("w1", [f"The ship {i} sailed at noon." for i in range(80)], "base")
    held = split_window(read_documents(folder, ("text", "content_hash")))[1]
    scored = model_loss.taught_losses(export, folder)
    assert scored.num_rows == held.num_rows < 80
    assert sorted(scored["bytes"].to_pylist()) == sorted(len(t.as_py()) for t in held["text"])
    (kept,) = (state / "runs").glob("losses-*/documents.parquet")
    before = kept.stat().st_mtime_ns
    assert model_loss.taught_losses(export, folder).equals(scored)
    assert kept.stat().st_mtime_ns == before


def test_of_the_corpus_the_held_out_records_are_scored(export: str) -> None:
    corpus = [registry("headrace").champion().release]
    scored = model_loss.corpus_losses(export, corpus, Shared())
    assert set(scored.column_names) == {"lang", "domain", "bytes", "bits"}
    assert 0 < scored.num_rows < 30 and set(scored["domain"].to_pylist()) == {"general"}
