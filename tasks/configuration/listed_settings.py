"""Every setting of a verb with its effective default and its meaning: `headrace settings`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from headrace.infra.configuration.setting_faults import takes, written
from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.tasks.configuration.settings import (
    AlignConfig,
    CurateConfig,
    DeployConfig,
    GateConfig,
    GcConfig,
    MonitorConfig,
    PretrainConfig,
    RetrainConfig,
    RunConfig,
    TokenizeConfig,
    UpConfig,
)

MODELS: dict[str, type[Shared]] = {
    "run": RunConfig,
    "deploy": DeployConfig,
    "up": UpConfig,
    "curate": CurateConfig,
    "validate": CurateConfig,
    "tokenize": TokenizeConfig,
    "pretrain": PretrainConfig,
    "plan": PretrainConfig,
    "align": AlignConfig,
    "gate": GateConfig,
    "monitor": MonitorConfig,
    "retrain": RetrainConfig,
    "gc": GcConfig,
}
"""Verbs with their own settings; all others take those that every verb shares."""
_ALL = ("run", "deploy", "up")
"""Verbs that have every setting between them."""
SECRET = "…"  # nosec B105 # shown instead of one


def model_of(verb: str) -> type[Shared]:
    """Return the settings that a verb takes."""
    return MODELS.get(verb, Shared)


@dataclass(frozen=True)
class ListedSetting:
    """A setting; the answer of `headrace settings` has these fields."""

    verb: str
    key: str
    """Dotted."""
    value: JsonValue
    """What applies."""
    default: JsonValue
    """What applies where nothing is given."""
    kind: str
    """What it takes."""
    meaning: str


def listed(
    verb: str | None, effective: Callable[[str, type[Shared]], Shared]
) -> list[ListedSetting]:
    """Return the settings of a verb, with what applies.

    Args:
        verb: whose settings; None: every setting, each once, under the first verb that has it.
        effective: settings of a verb, by its name and model.

    Raises:
        UsageError: a setting is wrong.
    """
    rows: list[ListedSetting] = []
    known: set[str] = set()
    for name in _ALL if verb is None else (verb,):
        model = model_of(name)
        applies = effective(name, model)
        for key, field, default in leaves(model):
            if key in known:
                continue
            known.add(key)
            value: Any = applies
            for part in key.split("."):
                value = getattr(value, part)
            secret = value is not None and not field.repr
            rows.append(
                ListedSetting(
                    verb=name,
                    key=key,
                    value=SECRET if secret else _plain(value),
                    default=_plain(default),
                    kind=takes(field),
                    meaning=" ".join((field.description or "").split()),
                )
            )
    return rows


def check_verb(verb: str | None, known: list[str]) -> None:
    """Check the name of a verb.

    Raises:
        UsageError: there is no such verb.
    """
    if verb is not None and verb not in known:
        raise UsageError(f"{verb}: no such verb", f"verbs: {', '.join(known)}")


def shown(value: object) -> str:
    """Return a value as `--set` takes it."""
    return SECRET if value == SECRET else written(value)


def _plain(value: JsonValue | tuple[JsonValue, ...]) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value
