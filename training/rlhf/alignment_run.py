"""The folder of an alignment stage's run: its identity, and its result when it is finished.

It holds metrics.jsonl (a line per step), checkpoints/, once/ (figures taken before training),
export/, identity.json and, written last, result.json. Random choices are functions of
(seed, step), so a checkpoint with the models and the optimizer is the whole state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import JsonValue

from headrace.infra import lineage, storage
from headrace.infra.errors import UsageError
from headrace.infra.files import walk
from headrace.infra.subprocess_jobs import JobResult
from headrace.training.callbacks.base import Callback
from headrace.training.identity import deciding_weights
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.objective import Objective
from headrace.training.optimizer import MuonAdamW
from headrace.training.results import StageMetrics, StageResult
from headrace.training.rlhf.jobs import PPOJob, SFTJob, StageJob
from headrace.training.settings import CheckpointSettings
from headrace.training.trainer import Trainer

M = TypeVar("M", bound=StageMetrics)
T = TypeVar("T")


class StageIdentity(JobResult):
    """What decides the weights of a stage's run: content and settings, no paths."""

    stage: str
    settings: dict[str, JsonValue]
    """The settings that decide weights."""
    seed: int
    model: str
    """SHA-256 of the weights to begin with."""
    data: dict[str, str]
    """SHA-256 of each data file by name."""
    reward: str | None = None
    """SHA-256 of the reward model's weights."""
    replay: str | None = None
    """SHA-256 of the replayed shards' manifest."""


def content(uri: str) -> dict[str, str]:
    """File name to SHA-256 of the files of a URI: its identity, wherever it lies."""
    files = walk.list_files(uri)
    at = len(storage.display(uri))
    return {f[at:].lstrip("/"): lineage.sha256(f) for f in files}


def weights(folder: Path) -> str:
    """SHA-256 of an export's weights: the identity of the model.

    Raises:
        InputError: no export is there.
    """
    export_file = folder / export.WEIGHTS
    if not export_file.is_file():
        export.read_tensors(export_file)  # raises with the message that says what to do
    return lineage.sha256(export_file)


def identify(stage: str, job: StageJob) -> StageIdentity:
    """Return the identity of a stage's job.

    Raises:
        InputError: an input isn't there.
        UsageError: a model is not in a local folder.
    """
    more: dict[str, str] = {}
    if isinstance(job, PPOJob):
        more["reward"] = weights(local_folder(job.reward, "the reward"))
    if isinstance(job, SFTJob | PPOJob) and job.replay:
        more["replay"] = lineage.sha256(storage.join(job.replay, "manifest.json"))
    return StageIdentity(
        stage=stage,
        settings=deciding_weights(job.settings),
        seed=job.seed,
        model=weights(local_folder(job.model, "the model")),
        data=content(job.data),
        **more,
    )


def identity(stage: str, job: StageJob) -> dict[str, JsonValue]:
    """`identify` as JSON, for the name of a run folder."""
    return identify(stage, job).as_json()


class StageRun(Generic[M]):
    """The folder of one stage's run.

    Args:
        output: the folder, new or left by an earlier run.
        identity: of the job.
        metrics: the class of the stage's metrics.

    Raises:
        UsageError: the folder holds a run with other inputs or settings.
    """

    def __init__(self, output: str, identity: StageIdentity, metrics: type[M]) -> None:
        self.name, self._metrics = identity.stage, metrics
        self.folder = local_folder(output, "the output")
        self.folder.mkdir(parents=True, exist_ok=True)
        decided_by = identity.as_json()
        self.identity = lineage.digest(decided_by)
        path = self.folder / "identity.json"
        if not path.exists():
            storage.write_json(path, decided_by)
        elif storage.read_json(path) != json.loads(json.dumps(decided_by)):
            raise UsageError(
                f"{self.folder} holds a {self.name} run with other inputs or settings",
                "give another --output, or remove that folder",
            )

    @property
    def export(self) -> Path:
        """Where the trained model goes."""
        return self.folder / "export"

    def result(self) -> StageResult[M] | None:
        """Return the result of a run that has finished here, None otherwise."""
        path = self.folder / "result.json"
        if not path.exists():
            return None
        return self._result(self._metrics.model_validate(storage.read_json(path)))

    def finish(self, metrics: M) -> StageResult[M]:
        """Record the metrics, last of all; return the result of the stage."""
        storage.write_json(self.folder / "result.json", metrics.as_json())
        return self._result(metrics)

    def _result(self, metrics: M) -> StageResult[M]:
        return StageResult(export=str(self.export), stage=self.name, metrics=metrics)

    def trainer(
        self,
        objective: Objective,
        optimizer: MuonAdamW,
        steps: int,
        *,
        title: str,
        clip: float,
        saving: CheckpointSettings,
        unit: str = "steps",
        callbacks: Sequence[Callback] = (),
    ) -> Trainer:
        """Return the training of this run."""
        return Trainer(
            objective,
            optimizer,
            steps,
            self.folder,
            self.identity,
            title=title,
            clip=clip,
            saving=saving,
            unit=unit,
            callbacks=callbacks,
        )

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return the JSON value that `compute` gave the first time in this folder, unchanged."""
        path = self.folder / "once" / f"{name}.json"
        if not path.exists():
            storage.write_json(path, compute())
        value: T = storage.read_json(path)
        return value
