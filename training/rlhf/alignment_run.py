"""What every alignment stage does alike: its folder, resuming after kill -9, and its answer.

A stage's folder holds metrics.jsonl (a line a step), checkpoints/, once/ (figures taken before
training), export/, identity.json and, written last, result.json. Random choices are functions of
(seed, step), so a checkpoint with the models and the optimizer is the whole state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from headrace.infra import lineage, storage
from headrace.infra.errors import UsageError
from headrace.infra.files import walk
from headrace.training import checkpoint
from headrace.training.identity import deciding_weights
from headrace.training.moe import export
from headrace.training.optimizer import MuonAdamW
from headrace.training.rlhf.jobs import PPOJob, RewardJob, SFTJob
from headrace.training.rlhf.settings import Saving
from headrace.training.scoring import interval

Floats = npt.NDArray[np.float64]
FLIPS, CONFIDENCE = 2000, 0.95
"""Of the interval of a stage's gain."""


def local_folder(uri: str, what: str) -> Path:
    """The path of a local URI.

    Raises:
        UsageError: it is on S3; models are trained from and into local folders.
    """
    path = storage.local_path(uri)
    if path is None:
        raise UsageError(f"{uri}: {what} must be a local folder", "copy it here and give the path")
    return path


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


def identity(stage: str, job: SFTJob | RewardJob | PPOJob) -> dict[str, Any]:
    """What decides the weights of a stage's run: content and settings, no paths.

    Raises:
        InputError: an input isn't there.
        UsageError: a model is not in a local folder.
    """
    found: dict[str, Any] = {
        "stage": stage,
        "settings": deciding_weights(job.settings),
        "seed": job.seed,
        "model": weights(local_folder(job.model, "the model")),
        "data": content(job.data),
    }
    if isinstance(job, PPOJob):
        found["reward"] = weights(local_folder(job.reward, "the reward"))
    if not isinstance(job, RewardJob) and job.replay:
        found["replay"] = lineage.sha256(storage.join(job.replay, "manifest.json"))
    return found


class Stage:
    """The folder of one stage's run."""

    def __init__(self, output: str, identity: dict[str, Any]) -> None:
        """Open the folder, new or left by an earlier run.

        Args:
            output: the folder.
            identity: `identity` of the job.

        Raises:
            UsageError: the folder holds a run with other inputs or settings.
        """
        self.name = name = identity["stage"]
        self.folder = local_folder(output, "the output")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._identity = lineage.digest(identity)
        path = self.folder / "identity.json"
        if path.exists():
            if storage.read_json(path) != json.loads(json.dumps(identity)):
                raise UsageError(
                    f"{self.folder} holds a {name} run with other inputs or settings",
                    "give another --output, or remove that folder",
                )
        else:
            storage.write_json(path, identity)

    @property
    def export(self) -> Path:
        """Where the trained model goes."""
        return self.folder / "export"

    def result(self) -> dict[str, Any] | None:
        """The answer of a run that has finished here, None otherwise."""
        path = self.folder / "result.json"
        return self._answer(storage.read_json(path)) if path.exists() else None

    def finish(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Record the metrics, last of all; returns the answer of the stage."""
        storage.write_json(self.folder / "result.json", metrics)
        return self._answer(metrics)

    def _answer(self, metrics: dict[str, Any]) -> dict[str, Any]:
        return {"export": str(self.export), "stage": self.name, "metrics": metrics}

    def resume(self, model: nn.Module, optimizer: MuonAdamW) -> tuple[int, dict[str, Any]]:
        """(steps done, what `save` was given beside) of the newest checkpoint, now restored.

        (0, {}) without one. Lines of metrics.jsonl that it does not know of are removed, and so is
        half a line that kill -9 left.
        """
        found = checkpoint.latest(self.folder / "checkpoints", self._identity)
        step = found.step if found else 0
        if found:
            found.restore(model, optimizer)
        if self.metrics.exists():
            kept = []
            for line in self.metrics.read_bytes().split(b"\n"):
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + b"\n")
                except (ValueError, KeyError, TypeError):
                    continue
            storage.write_bytes(self.metrics, b"".join(kept))
        return step, found.state.get("extra", {}) if found else {}

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: MuonAdamW,
        settings: Saving,
        last: bool,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint where one is due after `step` steps, or it is the `last`."""
        if last or step % settings.every == 0:
            root = self.folder / "checkpoints"
            given = {"extra": extra or {}}
            checkpoint.save(root, step, model, optimizer, self._identity, given, settings.keep)

    @property
    def metrics(self) -> Path:
        """The file with a line a step."""
        return self.folder / "metrics.jsonl"

    def record(self, step: int, **figures: float) -> None:
        """Append a line to metrics.jsonl."""
        line = json.dumps({"step": step, **figures}) + "\n"
        with open(self.metrics, "ab") as f:
            f.write(line.encode())
            f.flush()
            os.fsync(f.fileno())

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The JSON value that `compute` gave the first time in this folder, exactly as it was."""
        path = self.folder / "once" / f"{name}.json"
        if not path.exists():
            storage.write_json(path, compute())
        return storage.read_json(path)


def paired(before: Floats, after: Floats, seed: int) -> dict[str, float | None]:
    """{gain, low, high}: mean of after - before and its 95 % interval over the items."""
    return _gain(after - before, np.ones(len(after)), seed)


def paired_ratio(before: Floats, after: Floats, size: Floats, seed: int) -> dict[str, float | None]:
    """{gain, low, high} of sum(before - after) / sum(size): of a cost that is better when less."""
    return _gain(before - after, size, seed)


def _gain(gains: Floats, sizes: Floats, seed: int) -> dict[str, float | None]:
    found = interval.ratio(gains, sizes, confidence=CONFIDENCE, flips=FLIPS, seed=seed)
    low, high = found.ends()
    return {"gain": found.value, "low": low, "high": high}


def order(
    lengths: Mapping[int, int] | list[int], batch: int, epoch: int, seed: int
) -> list[list[int]]:
    """The batches (indices) of one epoch: shuffled, yet with answers of like length together.

    Within each stretch of eight batches items are sorted by length, which saves most padding; the
    batches themselves come in a shuffled order. A rest that fills no batch is left out, unless it
    is all there is.
    """
    rng = np.random.default_rng([seed, epoch])
    items = rng.permutation(len(lengths)).tolist()
    out: list[list[int]] = []
    for start in range(0, len(items), 8 * batch):
        stretch = sorted(items[start : start + 8 * batch], key=lambda i: (lengths[i], i))
        out += [stretch[i : i + batch] for i in range(0, len(stretch), batch)]
    full = [b for b in out if len(b) == batch] or [items]
    return [full[i] for i in rng.permutation(len(full))]


class Batches:
    """Batch number n of an endless run of epochs: a function of n, so that a run can resume."""

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed
        self._epoch, self._order = 0, order(lengths, batch, 0, seed)

    def __getitem__(self, number: int) -> list[int]:
        """The indices of batch `number`, counted from 0."""
        epoch, at = divmod(number, len(self._order))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order(self._lengths, self._batch, epoch, self._seed)
        return self._order[at]
