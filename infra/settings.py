"""Settings: frozen pydantic models beside their component, read from YAML, `--set` and profiles."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.infra.errors import UsageError


class Settings(BaseModel):
    """Base of every settings model: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class SparkSettings(Settings):
    """Where Spark runs. None of it decides what is kept, so none of it enters a release id."""

    master: str = "local[2]"
    """Spark master URL."""
    partitions: int | None = None
    """Number of partitions of every Spark stage; None: one a core and chunk."""
    driver_memory: str = "3g"
    """Memory of the driver's Java process, as Spark writes it."""


class ModelSettings(Settings):
    """The registered model."""

    name: str = "headrace"
    """Name in the model registry."""


class NotifySettings(Settings):
    """Who is told when a flow fails."""

    webhook: str | None = None
    """HTTP address that gets a JSON object."""


class Shared(Settings):
    """Settings that every verb shares."""

    spark: SparkSettings = SparkSettings()
    seed: int = 20260101
    """Seed of everything random."""
    model: ModelSettings = ModelSettings()
    notify: NotifySettings = NotifySettings()


S = TypeVar("S", bound=BaseModel)


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in new.items():
        old = into.get(key)
        into[key] = (
            _merge(dict(old), value)
            if isinstance(old, dict) and isinstance(value, Mapping)
            else value
        )
    return into


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{where} is not valid YAML: {first}", "write plain YAML, no tags"
        ) from None


def parse_sets(sets: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", …]` as nested dicts; the value is YAML.

    Raises:
        UsageError: an item has no `=`, or its value is not YAML.
    """
    out: dict[str, Any] = {}
    for item in sets:
        key, eq, value = item.partition("=")
        if not eq or not all(key.split(".")):
            raise UsageError(
                f"--set {item}: not of the form a.b=value", "for instance --set seed=7"
            )
        nested: Any = _yaml(value, f"the value of --set {key}")
        # A mapping given as a value replaces the default: that is how targets are taken away.
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(out, nested)
    return out


def read_config(path: Path | None) -> dict[str, Any]:
    """The settings of a YAML file, an empty dict without one.

    Raises:
        UsageError: the file is missing, is not YAML, or is not a mapping.
    """
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--config {path}: {error.strerror}", "give the path of a YAML file"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"--config {path}: not UTF-8 text", "write the file as UTF-8") from None
    data = _yaml(text, str(path)) or {}
    if not isinstance(data, dict):
        raise UsageError(f"--config {path}: not a mapping of settings", "write `key: value` lines")
    return data


def _keys(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields where a location of an error in `model` points."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def build(model: type[S], data: Mapping[str, Any], where: str = "settings") -> S:
    """`data` validated as `model`; a typing error names the nearest key.

    Raises:
        UsageError: an unknown key or a wrong value, the first of them named.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        first = next(
            (e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0]
        )
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = _keys(model, first["loc"])
            near = difflib.get_close_matches(str(first["loc"][-1]), known, 1, 0.5)
            prefix = ".".join(map(str, first["loc"][:-1]))
            said = ".".join(filter(None, [prefix, near[0]])) if near else ", ".join(known)
            raise UsageError(
                f"{where}: unknown setting {key}",
                f"did you mean {said}?" if near else f"known: {said}",
            ) from None
        shown = repr(first.get("input"))[:80]
        raise UsageError(f"{where}: {key} = {shown}: {first['msg']}", "see --help") from None


def load(
    model: type[S],
    config: Path | None = None,
    sets: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> S:
    """Settings from defaults, then `base` (a profile), then the file, then `--set`; last wins."""
    data = _merge(dict(base or {}), read_config(config))
    return build(model, _merge(data, parse_sets(sets)))
