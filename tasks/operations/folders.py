"""The releases, runs and token sets of a state folder, and what each of them was made of.

A run names its parents in `inputs.json` and in the records of its artifacts, its export the corpus
in `lineage.json`; a release names its parent, and a token set its releases. An earlier version of
headrace wrote runs that name no parents: what those refer to is unknown, so every word of their
JSON files counts as a reference, which keeps rather too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.infra.stack import retention
from headrace.infra.state.state_dir import Home

Kind = Literal["releases", "runs", "tokens"]
KINDS: tuple[Kind, ...] = ("releases", "runs", "tokens")
"""Folders of the state folder in which these lie."""
_WORD = re.compile(r"[\w.-]+")


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Ref(_Stored):
    """A folder that something was made of (`infra.artifacts.Ref`)."""

    id: str


class _Manifest(_Stored):
    """What a release or a token set was made of."""

    parent: str | None = None
    release_id: str | None = None
    releases: tuple[str, ...] = ()


class _Record(_Stored):
    """What an artifact in a run folder was made of, and which run it only measures."""

    parents: tuple[_Ref, ...] = ()
    of: str | None = None


class Round(_Stored):
    """What a round of retraining that is under way learns from."""

    windows: tuple[str, ...]
    state: str = "UnderWay"


class _Lineage(_Stored):
    """What an export says of its origin."""

    release_id: str | None = None
    releases: tuple[str, ...] | None = None
    reward: str | None = None
    prompts: str | None = None


@dataclass(frozen=True)
class Folder:
    """A release, run or token folder."""

    kind: Kind
    path: Path
    names: frozenset[str]
    """Names of the folders that it was made of; of an earlier version's run every word."""
    of: str | None
    """The run that it only measures."""
    bytes: int
    changed: float
    """When anything in it was last written (seconds since 1970)."""

    @property
    def name(self) -> str:
        """Its name, which no other folder has."""
        return self.path.name

    @property
    def shown(self) -> str:
        """Its path in the state folder."""
        return f"{self.kind}/{self.name}"


def survey(here: Home) -> list[Folder]:
    """Return all folders that may be removed. Links are neither followed nor among them."""
    out = []
    for kind in KINDS:
        top = here.root / kind
        if top.is_dir() and not top.is_symlink():
            paths = sorted(p for p in top.iterdir() if p.is_dir() and not p.is_symlink())
            out += [_folder(kind, path) for path in paths]
    return out


def _folder(kind: Kind, path: Path) -> Folder:
    names, of = _run(path) if kind == "runs" else (_manifest(kind, path), None)
    size, changed = retention.measure(path)
    return Folder(kind, path, frozenset(names), of, size, changed)


def _manifest(kind: Kind, path: Path) -> set[str]:
    """Return the releases that a release or token set was made of."""
    file = path / "manifest.json"
    manifest = read(file, _Manifest)
    if manifest is None:
        return words(texts([file]))
    made_of = [manifest.parent] if kind == "releases" else [manifest.release_id, *manifest.releases]
    return {name for name in made_of if name}


def _run(path: Path) -> tuple[set[str], str | None]:
    """Return the folders that a run was made of, and the run that it only measures."""
    records = sorted(path.glob("*.json"))
    made = [r for r in (read(file, _Record) for file in records) if r is not None]
    of = next((r.of for r in made if r.of), None)
    if read(path / "inputs.json", _Record) is None:
        return words(texts([*records, path / "export" / "lineage.json"])), of
    names = {ref.id for record in made for ref in record.parents}
    if lineage := read(path / "export" / "lineage.json", _Lineage):
        names |= {name for name in (lineage.release_id, *(lineage.releases or ())) if name}
        names |= {n for place in (lineage.reward, lineage.prompts) for n in named(place or "")}
    return names, of


T = TypeVar("T", bound=_Stored)


def read(file: Path, kind: type[T]) -> T | None:
    """Return what a JSON file holds; None if there is none, or it is another's."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def texts(files: Iterable[Path]) -> Iterable[str]:
    """Yield the text of those files that are there."""
    return (f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file())


def words(texts: Iterable[str]) -> set[str]:
    """Return every word of texts whose references aren't known."""
    return {word for text in texts for word in _WORD.findall(text)}


def named(place: str) -> set[str]:
    """Return the name of the folder that a path lies in, or that an id is."""
    parts = place.rstrip("/").split("/")
    if len(parts) == 1:
        return {place} if place else set()
    return {name for top, name in pairwise(parts) if top in KINDS}
