"""What a command is given, looked at before a server starts for it and before heavy imports.

Each function raises what the flow itself would raise minutes later.
"""

from __future__ import annotations

from pathlib import Path

from headrace.infra import releases, storage
from headrace.infra.artifacts import Release
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry
from headrace.tasks.model_refs import ALIASES, resolve_model

OWN_SUITE = "heldout"
"""Name of the suite that is the held-out records of a model's corpus."""


def check_model(model: str, shared: Shared) -> None:
    """Raise unless an export or an alias is there.

    Raises:
        InputError, UsageError: see `resolve_model`.
        UsageError: another's server, which knows the alias, doesn't answer.
    """
    if model in ALIASES:
        _check_servers()
    resolve_model(model, shared)


def check_reference(reference: str | None, shared: Shared) -> None:
    """Raise unless what a monitor compares with is there: that of `reference_of`.

    Raises:
        UsageError: none is given and there is no champion yet.
    """
    if reference is None:
        _check_servers()
        reference_of(None, shared)


def _check_servers() -> None:
    """Check that servers of others answer; MLflow's client would retry for minutes."""
    endpoints(home()).check_others()


def check_suite(suite: str | None) -> None:
    """Raise unless a suite is there.

    Raises:
        InputError: no such file.
    """
    if suite not in (None, OWN_SUITE) and not storage.exists(str(suite)):
        raise InputError(f"--suite {suite}: no such file", "give a JSONL file with `text`")


def check_policy(policy: str | None) -> None:
    """Raise unless a gate's policy can be read; None: a shipped one.

    Raises:
        UsageError: there is no such policy, or it breaks its schema.
    """
    from headrace.training.scoring.policy import read_policy

    if policy is not None:
        read_policy(policy)


def reference_of(reference: str | None, shared: Shared) -> str:
    """Return the reference that is meant: the champion's corpus unless one is given.

    Raises:
        UsageError: none is given and there is no champion yet.
    """
    if reference:
        return reference
    try:
        return registry(shared.model.name).champion().release
    except UsageError as error:
        raise UsageError(error.message, f"give --reference URI, or {error.hint}") from None


def check_fresh(folder: Path) -> None:
    """Raise unless a run can start from its beginning.

    Raises:
        UsageError: the folder isn't empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"--no-resume: {folder} is not empty", "give another --output")


def release_to_start_from(release: str) -> Release:
    """Return a release that a chain can start from.

    Args:
        release: its folder, an output folder (its newest release is meant), or its id in the state
            folder.

    Raises:
        InputError: there is no such release.
        UsageError: it is a child release.
        ValidationError: it is damaged, or holds no document.
    """
    own = home().root / "releases" / release
    known = "/" not in release and releases.is_release(str(own))
    folder = str(own) if known else releases.newest(storage.display(release))
    manifest = releases.manifest(folder)
    if manifest.get("parent"):
        raise UsageError(
            f"{folder} is a child release: it holds the records of one window only",
            "start a chain from a release without parent, or teach the champion this one: "
            f"`headrace retrain --window {folder}`",
        )
    if wrong := releases.damaged(folder, manifest["files"]):
        raise ValidationError(f"{folder}: {wrong[0]}", "the same `headrace curate` writes it again")
    found = Release.load(folder)
    if not found.totals.kept:
        raise ValidationError(f"{folder} keeps no document", f"see {found.report} for the reasons")
    return found
