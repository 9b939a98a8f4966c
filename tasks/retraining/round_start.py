"""Before a round of retraining: which windows hold something to learn, and where it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from headrace.infra import arrow, releases, storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, InputError, UsageError, ValidationError
from headrace.infra.files import quarantine
from headrace.infra.lineage import digest
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import RetrainVerb
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.drift import content_hashes
from headrace.tasks.retraining.windows import is_settled, is_there
from headrace.tasks.task import step

KNOWN = 0.01
"""Share of a window's distinct texts up to which being new makes no new window of it."""


@dataclass(frozen=True)
class Compared:
    """Windows by what the champion knows of them."""

    new: list[str]
    known: list[str]
    unreadable: dict[str, HeadraceError]


@step("compare with what the champion knows")
def compare_windows(windows: list[str], settings: RetrainVerb) -> Compared:
    """Which windows hold text that the champion's corpus doesn't, and which can't be read.

    Raises:
        UsageError: there is no champion yet.
    """
    corpus = releases.lineage(registry(settings.model.name).champion().release)
    hashes: dict[str, pa.Array[Any]] = {}
    unreadable: dict[str, HeadraceError] = {}
    for window in windows:
        try:
            hashes[window] = content_hashes(window, settings.curate, settings).drop_null()
        except (InputError, ValidationError) as error:
            unreadable[window] = error
    every = pa.concat_arrays([pa.array([], pa.string()), *hashes.values()])
    unseen = releases.unseen(corpus, pc.unique(every))
    new = [
        window
        for window, own in hashes.items()
        if np.count_nonzero(arrow.mask(pc.is_in(own, unseen))) > KNOWN * len(own)
    ]
    return Compared(new, [w for w in hashes if w not in new], unreadable)


class _Begun(BaseModel):
    """A round that is under way, as a file of `windows/rounds/` says it."""

    model_config = ConfigDict(frozen=True, strict=True)

    model: str
    windows: list[str]
    version: str


def _rounds() -> Path:
    return home().windows / "rounds"


@contextmanager
def one_round(windows: list[str], shared: Shared) -> Iterator[str]:
    """The version that a round on windows starts from: on a further try that of the first.

    A kill may come between the promotion and its record, and the new champion would have nothing
    to learn from the window. What is kept of a try goes when the round has come to an end.

    Raises:
        UsageError: there is no champion yet.
    """
    champion = registry(shared.model.name).champion()
    version = champion.number
    path = _rounds() / f"{digest([shared.model.name, sorted(windows)])[:12]}.json"
    begun = quarantine.read(path, _Begun.model_validate)
    # Another champion may have come in since, and is to be beaten then.
    if begun is not None and begun.version == champion.tags.get("parent_version"):
        version = begun.version
    said = _Begun(model=shared.model.name, windows=windows, version=version)
    storage.write_json(path, said.model_dump())
    try:
        yield version
    except (InputError, UsageError, ValidationError):
        path.unlink(missing_ok=True)  # it came to no promotion
        raise
    # The champion may be another now: no other try can go on from where it began.
    for other, _ in _begun_rounds(shared):
        other.unlink(missing_ok=True)


def _begun_rounds(shared: Shared) -> list[tuple[Path, _Begun]]:
    found = quarantine.read_all(sorted(_rounds().glob("*.json")), _Begun.model_validate)
    return [(path, begun) for path, begun in found if begun.model == shared.model.name]


def unfinished_round(windows: list[str], shared: Shared) -> list[str]:
    """The windows of a round that was killed, where all of them are among `windows`; or none.

    One that can't go on is forgotten: a window of it is settled, or can't be read any more.
    """
    for path, begun in _begun_rounds(shared):
        own = begun.windows
        if set(own) <= set(windows):
            if not any(map(is_settled, own)) and all(map(is_there, own)):
                return own
            path.unlink()
    return []
