"""Which export a user means by a path or an alias."""

from __future__ import annotations

import difflib
import functools
from pathlib import Path

from headrace.infra import storage
from headrace.infra.artifacts import Ref
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError
from headrace.infra.lineage import sha256
from headrace.tasks.mlflow_log import registry

ALIASES = ("champion", "challenger")


def resolve_model(model: str, shared: Shared) -> Path:
    """Return the export folder of a path, or of an alias of the registered model.

    Raises:
        UsageError: no model has that alias, or it is nearly one.
        InputError: the path, or the folder that the version names, holds no export.
    """
    if model in ALIASES and not Path(model).exists():
        models = registry(shared.model.name)
        found = models.champion() if model == "champion" else models.current(model)
        if found is None:
            raise UsageError(
                f"no challenger: no version of the model {shared.model.name} waits for a decision",
                "name the export itself: the alias stands only while a version waits for a person",
            )
        if not (found.export / "config.json").exists():
            raise InputError(
                f"{found.export}: no export there, which version {found.number} of {found.model} "
                "names",
                "copy that folder from the machine that made it, or from a backup",
            )
        return found.export
    path = storage.local_path(model)
    for folder in [path, path / "export"] if path else []:
        if (folder / "config.json").exists():
            return folder
    near = difflib.get_close_matches(model, ALIASES, 1, 0.7)
    if near:
        raise UsageError(f"{model}: no such alias or path", f"did you mean {near[0]}?")
    if path is None:
        raise UsageError(f"{model}: a model is read from a local folder", "copy it here first")
    if not path.exists():
        raise InputError(
            f"{model}: no such folder",
            f"give the `export` that a stage printed, or an alias: {', '.join(ALIASES)}",
        )
    raise InputError(
        f"{model}: no export (config.json, model.safetensors)",
        f"give the `export` that a stage printed, or an alias: {', '.join(ALIASES)}",
    )


def weights_of(export: str | Path) -> str:
    """SHA-256 of an export's weights: which model it is, wherever it lies and whatever its name.

    Raises:
        InputError: they aren't there.
    """
    path = Path(export) / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no such file", "make the export again")
    state = path.stat()
    return _weights(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(64)
def _weights(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, read once; a file that is written again has another size or time."""
    return sha256(path)


def run_of(export: str | Path) -> str:
    """Name of the run folder that an export lies in."""
    return Path(export).parent.name


def run_ref(export: str | Path) -> Ref:
    """Return the run folder that an export lies in."""
    return Ref(kind="run", id=run_of(export))


def fault_of(export: str | Path) -> str:
    """Why an export can't be used at all, whatever it scores; empty for a sound one.

    Raises:
        InputError: its weights are missing or broken.
    """
    from headrace.training.moe.export import broken_weights

    broken = broken_weights(export)
    if not broken:
        return ""
    more = f" and {len(broken) - 1} more tensors" if broken[1:] else ""
    return f"its weights are not finite numbers ({broken[0]}{more})"
