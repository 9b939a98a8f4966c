"""A stage's folder: whose run it is, and its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.infra.errors import InputError, UsageError
from headrace.training.local import local_folder
from headrace.training.results import StageMetrics, StageResult
from headrace.training.rlhf.alignment_run import StageIdentity, StageRun, weights

METRICS = StageMetrics(
    name="bits_per_byte", better="lower", before=2.0, after=1.5, gain=0.5, low=None, high=None, n=4
)


def stage(folder: Path, seed: int = 1, model: str = "a") -> StageRun[StageMetrics]:
    identity = StageIdentity(stage="sft", settings={}, seed=seed, model=model, data={})
    return StageRun(str(folder), identity, StageMetrics)


def test_the_folder_belongs_to_one_run(tmp_path: Path) -> None:
    stage(tmp_path, model="a").finish(METRICS)
    again = stage(tmp_path, model="a").result()
    assert again == StageResult(export=str(tmp_path / "export"), stage="sft", metrics=METRICS)
    assert again is not None and again.as_json()["metrics"] == METRICS.as_json()
    with pytest.raises(UsageError, match="other inputs or settings"):
        stage(tmp_path, model="b")
    with pytest.raises(UsageError, match="other inputs or settings"):
        stage(tmp_path, seed=2, model="a")


def test_once_keeps_the_first_value(tmp_path: Path) -> None:
    values = iter([[0.1 + 0.2, 1e-17], [5.0]])
    assert stage(tmp_path).once("before", lambda: next(values)) == [0.1 + 0.2, 1e-17]
    assert stage(tmp_path).once("before", lambda: next(values)) == [0.1 + 0.2, 1e-17]


def test_folders_and_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="local folder"):
        local_folder("s3://bucket/model", "the model")
    with pytest.raises(InputError):
        weights(tmp_path)
