"""What is said of settings that are refused: where, what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from headrace.infra.configuration.config_file import Config, KeyPath
from headrace.infra.configuration.setting_tree import REQUIRED, inner_model, leaves, section
from headrace.infra.errors import UsageError

_SHOWN = 80
"""Characters of a value that a message shows."""


_TYPES = dict.fromkeys(("tuple_type", "list_type"), "it should be a list")
_TYPES["string_pattern_mismatch"] = "it doesn't have the expected form"
_TYPES |= dict.fromkeys(("dict_type", "model_type", "mapping_type"), "it should be a mapping")
"""Plain words for some of pydantic's kinds of fault."""


class SettingError(ValueError):
    """Why a validator refuses a value; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def explain(
    model: type[BaseModel], error: ValidationError, sources: Sequence[Config], where: str
) -> UsageError:
    """Return the first fault of settings: unknown keys before wrong values, then by lines.

    Args:
        model: what was validated.
        error: what pydantic found.
        sources: where the settings came from, the strongest last.
        where: what stands for the settings where no source has the key.
    """
    faults = [_Fault(model, found, sources, where) for found in error.errors()]
    # A list whose items are wrong counts as too short as well.
    inner = [
        f for f in faults if not any(f.path == g.path[: len(f.path)] != g.path for g in faults)
    ]
    first = min(inner, key=lambda fault: fault.rank)
    more = len({fault.path for fault in inner}) - 1
    said = f" (and {more} more {'faults' if more > 1 else 'fault'})" if more else ""
    return UsageError(first.message() + said, first.hint())


class _Fault:
    """One fault."""

    def __init__(
        self, model: type[BaseModel], found: ErrorDetails, sources: Sequence[Config], where: str
    ) -> None:
        self._model, self._found = model, found
        loc: KeyPath = found["loc"]
        self._of_key = bool(loc) and loc[-1] == "[key]"
        self.path = loc[:-1] if self._of_key else loc
        self._key = ".".join(map(str, self.path))
        self._unknown = found["type"] == "extra_forbidden"
        depth, at = max(
            ((_depth(s.data, self.path), i) for i, s in enumerate(sources)), default=(0, 0)
        )
        self._source = sources[at] if depth else None
        self._where = where
        self._field, self._default = _leaf(model, self.path)
        self._secret = _secret(model, self._key)

    @property
    def rank(self) -> tuple[bool, tuple[int, int]]:
        place = self._source.places.get(self.path) if self._source else None
        return not self._unknown, place.key if place else (0, 0)

    def message(self) -> str:
        """Where, which setting, and what is wrong."""
        at = self._where
        if self._source is not None:
            of_key = self._unknown or self._of_key or self._found["input"] is None
            at = self._source.at(self.path, key=of_key)
        if self._unknown:
            return f"{at}: unknown setting {self._key}"
        if self._found["type"] == "missing":
            return f"{at}: {self._key} is missing"
        if self._found["type"] == "value_error":
            said = str(self._found["ctx"]["error"])
            return f"{at}: {self._key}: {said}" if self._key else f"{at}: {said}"
        if self._of_key:
            above, _, last = self._key.rpartition(".")
            return f"{at}: unknown key {last} in {above}"
        if self._found["input"] is None:
            return f"{at}: {self._key} has no value"
        said = _TYPES.get(self._found["type"]) or str(self._found["msg"])
        return f"{at}: {self._key} = {self._shown()}: {said.replace('Input should', 'it should')}"

    def _shown(self) -> str:
        if self._secret:
            return "…"
        value, plain = self._found["input"], self._plain()
        text = repr(value)[:_SHOWN]
        # What YAML makes of a word may surprise whoever wrote it.
        return text if plain is None or plain == str(value) else f"{text} (written {plain})"

    def _plain(self) -> str | None:
        place = self._source.places.get(self.path) if self._source else None
        return place.plain if place else None

    def hint(self) -> str:
        """Return what to write instead."""
        if self._unknown:
            return self._meant()
        own = getattr(self._found.get("ctx", {}).get("error"), "hint", "")
        if own:
            return str(own)
        value = self._found["input"]
        if self._found["type"] == "literal_error":
            allowed = _literals(self._field) if self._field else []
            if near := difflib.get_close_matches(str(value), [*map(str, allowed)], 1, 0.5):
                return f"did you mean {near[0]}?"
        if value is None:
            return "give it a value, or leave it out"
        if isinstance(value, str) and self._found["type"] in ("tuple_type", "list_type"):
            return f"write a list: [{', '.join(value.replace(',', ' ').split())}]"
        if self._found["type"] == "string_type" and isinstance(value, bool | int | float):
            return f'write it in quotes, "{self._plain() or value}", if it is text'
        return self._described()

    def _described(self) -> str:
        """Return what the setting takes."""
        if self._field is None:
            return _known(self._model, self.path)
        default = "" if self._default is REQUIRED else f", by default {written(self._default)}"
        meaning = " ".join((self._field.description or "").split())
        return f"it takes {takes(self._field)}{default}" + (f": {meaning}" if meaning else "")

    def _meant(self) -> str:
        """Return what to say of an unknown key: which one was meant, as far as that can be seen."""
        # A position in a list says nothing about the key; what stands below an unknown one does.
        path = [p for p in self.path if isinstance(p, str)]
        below = self._found.get("input")
        while isinstance(below, Mapping) and below:
            step, below = next(iter(below.items()))
            path.append(str(step))
        key = ".".join(path)
        known = [name for name, _, _ in leaves(self._model)]
        meant = _nearest(key, known)
        if "." in str(self.path[-1]) and self._source is not None:
            right = meant[0] if meant else key
            value = "…" if _secret(self._model, right) else written(below)
            return f"in a file dots don't nest: write `{_nested(self._model, right, value)}`"
        verb, _, rest = key.partition(".")
        if rest in known:
            return f"leave out `{verb}.` here: the key is {rest}"
        if meant:
            return f"did you mean {' or '.join(meant[:3])}?"
        return _known(self._model, self.path[:-1])


def _depth(data: object, path: KeyPath) -> int:
    """How many steps of a path a source has."""
    for depth, step in enumerate(path):
        if isinstance(data, Mapping):
            if step not in data:
                return depth
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return depth
    return len(path)


def _leaf(model: type[BaseModel], path: KeyPath) -> tuple[FieldInfo | None, Any]:
    """(field, effective default) of the setting that a path leads to, or into."""
    key = ".".join(p for p in path if isinstance(p, str))
    for name, field, default in leaves(model):
        if key == name or key.startswith(f"{name}."):
            return field, default
    return None, REQUIRED


def _nearest(key: str, known: Sequence[str]) -> list[str]:
    """Return the known keys that an unknown one probably stands for, the likeliest first."""
    if key in known or any(key.startswith(f"{name}.") for name in known):
        return [key]
    if deeper := [name for name in known if name.endswith(f".{key}")]:
        return deeper
    section, _, last = key.rpartition(".")
    below = {name: name.rpartition(".")[2] for name in known if name.startswith(f"{section}.")}
    beside = [name for name in below if name == f"{section}.{below[name]}"]
    for names in (beside, list(below)) if section else ():
        if near := difflib.get_close_matches(last, [below[name] for name in names], 1, 0.6):
            return [name for name in names if below[name] == near[0]]
    if below:
        return []
    sections = sorted({name.rpartition(".")[0] for name in known} - {""})
    return difflib.get_close_matches(key, [*known, *sections], 1, 0.6)


def _known(model: type[BaseModel], path: KeyPath) -> str:
    """Return the keys of the innermost section that a path leads through."""
    names = [name for name, _, _ in leaves(model)]
    for end in range(len(path), -1, -1):
        prefix = "".join(f"{p}." for p in path[:end] if isinstance(p, str))
        here = [n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)]
        if here:
            place = f"in {prefix[:-1]}" if prefix else "here"
            return f"known {place}: {', '.join(dict.fromkeys(here))}"
    raise AssertionError("a model has fields")


def _secret(model: type[BaseModel], key: str) -> bool:
    """Whether a setting, or one below or above it, may hold a password: it isn't shown then."""
    return any(
        field.repr is False and f"{key}.".startswith(f"{name}.") | f"{name}.".startswith(f"{key}.")
        for name, field, _ in leaves(model)
    )


def _nested(model: type[BaseModel], key: str, value: str) -> str:
    """Return a dotted key with its value as YAML takes it, on one line."""
    name, _, rest = key.partition(".")
    if not rest:
        return f"{name}: {value}"
    field = model.model_fields.get(name)
    inner = inner_model(field.annotation) if field else None
    below = f"{{{_nested(inner or BaseModel, rest, value)}}}"
    of_list = field is not None and inner is not None and section(field.annotation) is None
    return f"{name}: [{below}]" if of_list else f"{name}: {below}"


def written(value: object) -> str:
    """Return a value as YAML writes it, on one line and cut where it is long."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(
        plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1_000_000
    )
    line = text.removesuffix("\n").removesuffix("\n...").replace("\n", " ")
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _literals(field: FieldInfo) -> Iterable[Any]:
    """Return the values of a Literal, alone, as an option, or as the keys of a mapping."""
    kinds = [field.annotation]
    while kinds:
        kind = kinds.pop()
        if get_origin(kind) is Literal:
            return get_args(kind)
        kinds += get_args(kind)
    return ()


def takes(field: FieldInfo) -> str:
    """Return what a setting takes, in words."""
    at = {type(rule): rule for rule in field.metadata}
    low, high = at.get(annotated_types.Ge), at.get(annotated_types.Le)
    bounds = [f"from {low.ge} to {high.le}"] if low and high else []
    if not bounds:
        bounds = [
            f"{word} {getattr(at[kind], kind.__name__.lower())}"
            for kind, word in (
                (annotated_types.Ge, "at least"), (annotated_types.Gt, "above"),
                (annotated_types.Le, "at most"), (annotated_types.Lt, "below"),
            )
            if kind in at
        ]  # fmt: skip
    kinds = [field.annotation]
    if get_origin(field.annotation) in (Union, UnionType):
        kinds = list(get_args(field.annotation))
    words = " or ".join(_kind(kind) for kind in kinds if kind is not NoneType)
    said = " ".join([words, " and ".join(bounds)]).strip()
    return f"{said}, or null" if NoneType in kinds else said


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _kind(annotation: object) -> str:
    """Return a type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is tuple and inner[-1] is not ...:
        return f"a list of {len(inner)} ({', '.join(map(_kind, inner))})"
    if origin in (tuple, list):
        return f"a list, each {_kind(inner[0])}"
    if origin is dict:
        return f"a mapping of {_kind(inner[0])} to {_kind(inner[1])}"
    return next((word for kind, word in _WORDS.items() if kind is annotation), "a mapping")
