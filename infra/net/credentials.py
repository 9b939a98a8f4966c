"""The secrets of a state folder's stack: made by `headrace up`, or given to it.

`stack/secrets.json` holds those that were made; only its owner can read it. They are new each time
that a stack is started, and stay while it is up: once it is down, whoever listens at its ports may
be shown the old ones by a browser or a shell, and they must open nothing. A secret that is given
(HEADRACE_MLFLOW_PASSWORD=… or HEADRACE_MLFLOW_PASSWORD_FILE=/run/secrets/…) stays as it is and is
not in that file, so every command needs it in its environment. Only Spark's secret is written down
for as long as the stack is up: Spark reads it from files (auth.py).
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.state.state_dir import Home

USER = "headrace"
"""Who logs in."""
_FIT = re.compile(r"[!-~]{12,200}")
_ODD = re.compile(r"[\"'\\:=#%]")


@dataclass(frozen=True)
class Credentials:
    """What the services of a stack want from whoever comes to them."""

    prefect_password: str = field(repr=False)
    """The password of Prefect's API and pages."""
    mlflow_password: str = field(repr=False)
    """The password of MLflow's API and pages."""
    spark_password: str = field(repr=False)
    """The password of Spark's pages."""
    spark_secret: str = field(repr=False)
    """Between the processes of the Spark cluster and its drivers."""

    @property
    def prefect(self) -> str:
        """The auth string, as PREFECT_API_AUTH_STRING has it."""
        return f"{USER}:{self.prefect_password}"


NAMES = tuple(f.name for f in fields(Credentials))


def file(home: Home) -> Path:
    """Where those that were made are kept."""
    return home.stack / "secrets.json"


def variable(name: str) -> str:
    """Return the environment variable that gives a secret; with `_FILE` behind it, its file."""
    return f"HEADRACE_{name.upper()}"


VARIABLES = tuple(variable(n) + end for n in NAMES for end in ("", "_FILE"))


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that the environment gives.

    Raises:
        UsageError: a file can't be read, or a secret is no fit one.
    """
    found = {}
    for name in NAMES:
        key = variable(name)
        value = environ.get(key)
        if path := environ.get(f"{key}_FILE"):
            key = f"{key}_FILE"
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "no text"
                raise UsageError(
                    f"{key}={path}: {why}", "name a file that this user can read"
                ) from None
        if value:
            if not _FIT.fullmatch(value) or _ODD.search(value):
                raise UsageError(
                    f"{key}: not a valid secret",
                    "give 12 to 200 letters, digits or signs; no blank, quote, \\ : = # or %",
                )
            found[name] = value
    return found


def known(home: Home) -> Credentials | None:
    """Return the secrets of a state folder, None before `make` and where some are missing here."""
    try:
        kept = storage.read_json(file(home))
    except (OSError, ValueError):
        kept = {}
    kept = kept if isinstance(kept, dict) else {}
    values = {**{k: v for k, v in kept.items() if k in NAMES}, **given(os.environ)}
    return Credentials(**values) if len(values) == len(NAMES) else None


def make(home: Home, anew: bool = False) -> Credentials:
    """Return the secrets of a state folder; what is neither given nor kept is made and kept.

    Args:
        home: the state folder.
        anew: make new ones in place of those that are kept.
    """
    path, have = file(home), given(os.environ)
    try:
        kept = {} if anew else {k: v for k, v in storage.read_json(path).items() if k in NAMES}
    except (OSError, ValueError, AttributeError):
        kept = {}
    new = {n: secrets.token_urlsafe(32) for n in NAMES if n not in kept and n not in have}
    if new:
        storage.write_private(path, {**kept, **new})
    return Credentials(**{**kept, **new, **have})
