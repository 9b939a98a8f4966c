"""Settings as a tree: its sections and leaves, their effective defaults, and layers laid over them.

A section is a field that holds a settings model. The default of a setting is that of its place: of
the instance that is the section's default, which need not be the default of the section's class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

V = TypeVar("V")
REQUIRED = PydanticUndefined
"""The default of a setting that has none."""


class Below(dict[str, JsonValue]):
    """What a path such as `a.b` sets: this key of the mapping `a`, and no other of its keys."""


def section(annotation: object) -> type[BaseModel] | None:
    """Return the model of a field that is a section: of this type, or of this type or None.

    A choice among several models is no section: a mapping given for it replaces the default.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return section(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return section(kinds[0]) if len(kinds) == 1 else None
    return None


def default_of(field: FieldInfo) -> object:
    """Return the default of a field where it is declared, REQUIRED where it has none."""
    return field.get_default(call_default_factory=True)


def values(section: BaseModel) -> Iterator[tuple[str, Any]]:
    """Return the keys and values of a section; inner models stay as they are."""
    return ((name, getattr(section, name)) for name in type(section).model_fields)


def laid(base: Mapping[str, V], given: Mapping[str, V], model: type[BaseModel]) -> dict[str, V]:
    """Return `base` with what is given laid over it, key by key in all sections of `model`.

    What is no section (a list, a mapping such as `domain.targets`) is replaced as a whole, unless a
    path (`Below`) names one of its keys.
    """
    out = dict(base)
    for name, value in given.items():
        old, field = out.get(name), model.model_fields.get(name)
        inner = section(field.annotation) if field else None
        if inner and isinstance(value, Mapping) and isinstance(old, Mapping | BaseModel):
            below = laid(dict(values(old)) if isinstance(old, BaseModel) else old, value, inner)
            out[name] = cast(V, below)
        else:
            out[name] = cast(V, _inside(old, value))
    return out


def _inside(old: object, value: object) -> object:
    """Return a value in the place of an old one; what a path leads past stays."""
    if not (isinstance(value, Below) and isinstance(old, Mapping)):
        return value
    merged = {**old, **{key: _inside(old.get(key), one) for key, one in value.items()}}
    return Below(merged) if isinstance(old, Below) else merged


def over_defaults(model: type[BaseModel], given: Mapping[str, V]) -> dict[str, V]:
    """Return what is given, each section of it completed by the defaults of its place."""
    defaults = {n: cast(V, default_of(f)) for n, f in model.model_fields.items() if n in given}
    return laid(defaults, given, model)


def inner_model(annotation: object) -> type[BaseModel] | None:
    """Return the model that a field holds, alone, as an option, or as items of a collection."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(inner_model, get_args(annotation))), None)


def leaves(
    model: type[BaseModel], prefix: str = "", place: BaseModel | None = None
) -> Iterator[tuple[str, FieldInfo, Any]]:
    """(dotted key, field, effective default) of every setting below a model.

    Args:
        model: the model.
        prefix: what its keys begin with.
        place: the section's default where it stands; None: the class's.
    """
    for name, field in model.model_fields.items():
        default = default_of(field) if place is None else getattr(place, name)
        inner = inner_model(field.annotation)
        if inner is None:
            yield prefix + name, field, default
        else:
            there = default if isinstance(default, inner) else None
            yield from leaves(inner, f"{prefix}{name}.", there)


def only_numbers(annotation: object) -> bool:
    """Whether a field holds a number (or None), and so no truth value."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return bool(kinds) and {*kinds} <= {int, float, NoneType} and {*kinds} != {NoneType}
