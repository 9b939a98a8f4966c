"""Checkpoints: safetensors and JSON, whole or absent, checked by hash, free of ranks and pickle.

    checkpoints/step-00000120/
      model.safetensors        every parameter and persistent buffer (router biases) by name
      optimizer.safetensors    state `<key>:<parameter's name>`
      random.safetensors       torch's generator
      state.json               step, identity of the run, threads, and what the stage adds
      checksums.json           SHA-256 of the others, written last

A folder is written beside its place and renamed. One whose hashes don't agree is passed over, and
the one before it is used: hence two are kept. Of several ranks the first one writes all, and each
restores its part, so that a run can resume with another number of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.training.distributed import ONE, Ranks, divided

FOLDER = "checkpoints"
"""The folder of checkpoints in a run folder."""
_LOG = logging.getLogger(__name__)
_FILES = ("model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose hashes agree."""

    folder: Path
    step: int
    """Steps done when it was saved."""
    identity: str
    """What decided the run that it is of."""
    threads: int | None
    """Threads that it was computed with."""
    state: dict[str, JsonValue]
    """state.json: the figures above, and what the callbacks added."""

    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ranks: Ranks = ONE,
    ) -> None:
        """Put weights, optimizer state and random numbers back as they were."""
        parameters = dict(model.named_parameters())
        weights = {
            name: _part(tensor, parameters.get(name), ranks)
            for name, tensor in safetensors.torch.load_file(
                self.folder / "model.safetensors"
            ).items()
        }
        missing, unexpected = model.load_state_dict(weights, strict=False)
        tied = set(_tied(model))
        if unexpected or set(missing) - tied:
            raise UsageError(
                f"{self.folder} is of another model: {[*missing, *unexpected][:3]}",
                "use another output folder",
            )
        states: dict[str, dict[str, Tensor]] = {}
        saved = safetensors.torch.load_file(self.folder / "optimizer.safetensors")
        for full_name, tensor in saved.items():
            key, _, name = full_name.partition(":")
            states.setdefault(name, {})[key] = _part(tensor, parameters.get(name), ranks)
        for name, parameter in parameters.items():
            if name in states:
                optimizer.state[parameter] = states[name]
        generator = safetensors.torch.load_file(self.folder / "random.safetensors")
        torch.set_rng_state(generator["torch"])
        then, now = self.threads, torch.get_num_threads()
        if then not in (None, now):
            _LOG.warning(
                "%s was saved with %s threads, and there are %s now: sums are rounded differently, "
                "so the figures from here on are not bit for bit those of an undisturbed run "
                "(OMP_NUM_THREADS sets the number)", self.folder, then, now,
            )  # fmt: skip


def _tied(model: nn.Module) -> list[str]:
    """Names of parameters that are another one's second name."""
    once = {name for name, _ in model.named_parameters()}
    return [n for n, _ in model.named_parameters(remove_duplicate=False) if n not in once]


def _part(tensor: Tensor, of: Tensor | None, ranks: Ranks) -> Tensor:
    """Return this rank's part of a parameter, or of a state as large; others are no arrays."""
    return ranks.part(tensor) if of is not None and divided(of) and tensor.ndim else tensor


def _whole(tensor: Tensor, of: Tensor | None, ranks: Ranks) -> Tensor:
    """Return the inverse of `_part`, on the first rank."""
    whole = ranks.whole(tensor) if of is not None and divided(of) and tensor.ndim else tensor
    return whole.contiguous()


def save(
    root: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: str,
    extra: Mapping[str, JsonValue] | None = None,
    keep: int = 2,
    ranks: Ranks = ONE,
) -> Path:
    """Return the folder of a new checkpoint; older ones beyond `keep` are removed.

    All ranks must call it; it is on disk when the first one returns.
    """
    tied, parameters = set(_tied(model)), dict(model.named_parameters())
    weights = {
        name: _whole(tensor, parameters.get(name), ranks)
        for name, tensor in model.state_dict().items()
        if name not in tied
    }
    states = {
        f"{key}:{name}": _whole(value, parameter, ranks)
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    folder = root / f"step-{step:08d}"
    if not ranks.first:
        return folder
    threads = torch.get_num_threads()
    state = {"step": step, "identity": identity, "threads": threads, **(extra or {})}
    contents = {
        "model.safetensors": safetensors.torch.save(weights),
        "optimizer.safetensors": safetensors.torch.save(states),
        "random.safetensors": safetensors.torch.save({"torch": torch.get_rng_state()}),
        "state.json": (json.dumps(state, indent=1, sort_keys=True) + "\n").encode(),
    }
    temporary = root / f".{folder.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, data in contents.items():
        storage.write_bytes(temporary / name, data)
    hashes = {n: hashlib.sha256(data).hexdigest() for n, data in contents.items()}
    storage.write_json(temporary / "checksums.json", hashes)
    shutil.rmtree(folder, ignore_errors=True)  # a broken one of the same step
    storage.publish(temporary, folder)
    for old in _folders(root)[keep:]:
        shutil.rmtree(old)
    return folder


def _folders(root: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted(root.glob("step-*"), key=lambda p: p.name, reverse=True)


def _verified(folder: Path) -> Checkpoint | None:
    try:
        hashes = json.loads((folder / "checksums.json").read_bytes())
        contents = {name: (folder / name).read_bytes() for name in _FILES}
        whole = all(hashlib.sha256(d).hexdigest() == hashes[n] for n, d in contents.items())
        state = json.loads(contents["state.json"])
        step, identity = int(state["step"]), str(state["identity"])
        return Checkpoint(folder, step, identity, state.get("threads"), state) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def latest(root: Path, identity: str) -> Checkpoint | None:
    """Return the newest whole checkpoint, None without one.

    Raises:
        UsageError: it was made from other data or with other settings than `identity` stands for.
    """
    for folder in _folders(root):
        found = _verified(folder)
        if found is None:
            _LOG.warning("checkpoint %s is broken; the one before it is used", folder)
            continue
        if found.identity != identity:
            raise UsageError(
                f"{root.parent} holds a run with other data or settings",
                "use another output folder, or remove this one",
            )
        return found
    return None
