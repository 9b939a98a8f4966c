"""Settings: frozen pydantic models beside their component, read from YAML, `--set` and profiles."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from headrace.infra.errors import UsageError


class Settings(BaseModel):
    """Base of every settings model: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )


class SparkSettings(Settings):
    """Where Spark runs. None of it decides what is kept, so none of it enters a release id."""

    master: str = "local[2]"
    """Spark master URL."""
    partitions: int | None = None
    """Number of partitions of every Spark stage; None: one a core and chunk."""
    driver_memory: str = "3g"
    """Memory of the driver's Java process, as Spark writes it."""
    executor_memory: str = "1g"
    """Memory of the Java process of each of a cluster's executors; its Python comes on top."""
    executor_cores: int | None = Field(default=None, ge=1)
    """Cores of each of a cluster's executors; None: all of its worker's."""
    event_log: str | None = None
    """Folder of the event log that Spark's history server reads; None: none is written."""


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


def merge(into: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`into` with the values of `new`, mappings in mappings merged likewise."""
    for key, value in new.items():
        old = into.get(key)
        into[key] = (
            merge(dict(old), value)
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
        merge(out, nested)
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


def _inner(kind: Any) -> type[BaseModel] | None:
    """The model that a field holds, by itself, as an option, or as the items of a collection."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next(filter(None, map(_inner, get_args(kind))), None)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of every setting below a model, those of inner models included."""
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            yield from fields(inner, f"{prefix}{name}.")


def _meant(model: type[BaseModel], key: str) -> str:
    """What to say of a key that isn't there: the key that was meant, as far as it can be told."""
    known = [name for name, _ in fields(model)]
    verb, _, rest = key.partition(".")
    if rest in known:
        return f"here it stands without its verb: leave out `{verb}.`"
    if deeper := [name for name in known if name.endswith(f".{key}")]:
        return f"here it stands under its verb: {' or '.join(deeper[:3])}"
    sections = {name.rpartition(".")[0] for name in known} - {""}
    if near := difflib.get_close_matches(key, [*known, *sorted(sections)], 1, 0.6):
        return f"did you mean {near[0]}?"
    top = ", ".join(model.model_fields)
    return f"known here: {top}; docs/settings.md has all"


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
            # A place in a list says nothing about the key; what stands below an unknown one does.
            path = [p for p in first["loc"] if isinstance(p, str)]
            below = first.get("input")
            while isinstance(below, Mapping) and below:
                step, below = next(iter(below.items()))
                path.append(str(step))
            named = ".".join(path)
            raise UsageError(f"{where}: unknown setting {key}", _meant(model, named)) from None
        shown = repr(first.get("input"))[:80]
        raise UsageError(
            f"{where}: {key} = {shown}: {first['msg']}",
            "docs/settings.md has its kind and its default",
        ) from None


def load(
    model: type[S],
    config: Path | None = None,
    sets: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> S:
    """Settings from defaults, then `base` (a profile), then the file, then `--set`; last wins."""
    data = merge(dict(base or {}), read_config(config))
    return build(model, merge(data, parse_sets(sets)))
