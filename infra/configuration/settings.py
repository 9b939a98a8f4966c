"""Settings: frozen pydantic models beside their component, read from YAML, `--set` and profiles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from headrace.infra.configuration.config_file import Config, parse, read_config
from headrace.infra.configuration.setting_faults import SettingError, explain
from headrace.infra.configuration.setting_tree import Below, laid, only_numbers, over_defaults
from headrace.infra.errors import UsageError


class Settings(BaseModel):
    """Base of every settings model: immutable, finite, and an unknown key is an error.

    A mapping given for a section sets the keys that it names; the others keep the default of their
    place, wherever settings are built: from a file, `--set`, a form, a stored job.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, given: object) -> object:
        return over_defaults(cls, given) if isinstance(given, Mapping) else given

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and only_numbers(field.annotation):
            raise SettingError(f"{str(value).lower()} isn't a number", "write a number")
        return value


MEMORY = "^[1-9][0-9]*[kmgtKMGT]$"
_MASTER = re.compile(
    r"local(\[(\d+|\*)(, ?\d+)?\])?|local-cluster\[.+\]|spark://[^\s,]+:\d+(,[^\s,]+:\d+)*|yarn|k8s://\S+"
)


class SparkSettings(Settings):
    """Where Spark runs. None of it decides what is kept, so none of it enters a release id."""

    master: str = "local[2]"
    """Spark master: `local[N]`, `spark://HOST:PORT`, `yarn` or `k8s://…`."""
    partitions: int | None = Field(default=None, ge=1)
    """Number of partitions of every Spark stage; None: one per core and chunk."""
    driver_memory: str = Field(default="3g", pattern=MEMORY)
    """Memory of the driver's Java process: `3g`, `800m`."""
    executor_memory: str = Field(default="1g", pattern=MEMORY)
    """Memory of the Java process of each of a cluster's executors; its Python comes on top."""
    executor_cores: int | None = Field(default=None, ge=1)
    """Cores of each of a cluster's executors; None: all of its worker's."""
    event_log: str | None = None
    """Folder of the event log that Spark's history server reads; None: none is written."""

    @field_validator("master")
    @classmethod
    def _is_a_master(cls, master: str) -> str:
        if not _MASTER.fullmatch(master):
            raise SettingError(
                f"{master!r} isn't a Spark master",
                "write local[2], local[*], spark://HOST:PORT, yarn or k8s://https://HOST:PORT",
            )
        return master


class ModelSettings(Settings):
    """The registered model."""

    name: str = Field(default="headrace", pattern=r"^[\w-][\w. -]*$")
    """Name in the model registry."""


class NotifySettings(Settings):
    """Who is notified when a flow fails, is refused, or waits for a person."""

    webhook: str | None = Field(default=None, repr=False, pattern=r"^https?://[^\s/]")
    """HTTP address that gets a JSON object."""
    blocks: tuple[str, ...] = ()
    """Notification blocks of the Prefect server, as `[slack-webhook/ops]`."""


class Shared(Settings):
    """Settings that every verb shares."""

    spark: SparkSettings = SparkSettings()
    seed: int = Field(default=20260101, ge=0, lt=2**63)
    """Seed of everything random."""
    model: ModelSettings = ModelSettings()
    notify: NotifySettings = NotifySettings()


S = TypeVar("S", bound=BaseModel)


def parse_sets(sets: Iterable[str]) -> list[Config]:
    """Return what each of `["a.b=1", …]` sets; the value is YAML.

    Raises:
        UsageError: an item has no `=`, or its value is not YAML.
    """
    out = []
    for item in sets:
        key, eq, value = item.partition("=")
        if not eq or not all(key.split(".")):
            raise UsageError(
                f"--set {item}: not of the form a.b=value", "for instance --set seed=7"
            )
        # What one line holds needs no line numbers.
        nested, _ = parse(value, f"the value of --set {key}")
        *above, last = key.split(".")
        below = Below({last: nested})
        for part in reversed(above):
            below = Below({part: below})
        out.append(Config("--set", below))
    return out


def build(
    model: type[S],
    data: Mapping[str, JsonValue] | Config,
    where: str = "settings",
    sources: Iterable[Config] = (),
) -> S:
    """Return `data` validated as `model`.

    Args:
        model: the settings model.
        data: what is given; of a `Config` messages name line and column.
        where: what messages call data without lines.
        sources: what `data` was made of, the strongest last.

    Raises:
        UsageError: an unknown key (the nearest one is named) or a wrong value.
    """
    if isinstance(data, Config):
        return build(model, data.data, data.name, [data])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise explain(model, error, list(sources), where) from None


def load(
    model: type[S],
    config: Path | None = None,
    sets: Iterable[str] = (),
    base: Mapping[str, JsonValue] | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> S:
    """Return settings in layers, each laid over the one before: the last that names a key wins.

    Args:
        model: the settings model; its defaults are the lowest layer.
        config: YAML file (`--config`).
        sets: `a.b=value` (`--set`), the strongest.
        base: a profile, weaker than the file.
        options: what the command's own options say, stronger than the file.
    """
    profile = Config("the profile", dict(base or {}))
    return layered(model, [profile, *given(config, sets, options)])


def given(
    config: Path | None, sets: Iterable[str], options: Mapping[str, JsonValue] | None = None
) -> list[Config]:
    """Return what a command was given, the weakest first: a file, its own options, `--set`.

    Raises:
        UsageError: the file or a `--set` can't be read.
    """
    file = read_config(config, "--config")
    return [file, Config("the options", dict(options or {})), *parse_sets(sets)]


def layered(model: type[S], sources: Iterable[Config]) -> S:
    """Return settings of several sources, the strongest last.

    Raises:
        UsageError: an unknown key or a wrong value, in the words of the source that has it.
    """
    sources, data = list(sources), dict[str, JsonValue]()
    for source in sources:
        data = laid(data, source.data, model)
    return build(model, data, sources=sources)
