"""Before a round of retraining: which windows hold text that the champion doesn't know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import releases
from headrace.infra.errors import HeadraceError, InputError, ValidationError
from headrace.tasks.configuration.settings import RetrainConfig
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.drift import content_hashes
from headrace.tasks.task import step

LEAST_NEW = 0.01
"""A window is new if more than this share of its distinct texts is unseen."""


@dataclass(frozen=True)
class Compared:
    """Windows by what the champion knows of them."""

    new: list[str]
    known: list[str]
    unreadable: dict[str, HeadraceError]


@step("compare with what the champion knows")
def compare_windows(windows: Sequence[str], settings: RetrainConfig) -> Compared:
    """Which windows hold text that the champion's corpus doesn't, and which can't be read.

    Raises:
        UsageError: there is no champion yet.
    """
    corpus = releases.lineage(registry(settings.model.name).champion().release)
    hashes: dict[str, pa.StringArray] = {}
    unreadable: dict[str, HeadraceError] = {}
    for window in windows:
        try:
            own = content_hashes(window, settings.curate, settings)
            hashes[window] = own.drop_null()
        except (InputError, ValidationError) as error:
            unreadable[window] = error
    every = pa.concat_arrays([pa.array([], pa.string()), *hashes.values()])
    unseen = releases.unseen(corpus, pc.unique(every))
    new = [
        window
        for window, own in hashes.items()
        if len(own.filter(pc.is_in(own, unseen))) > LEAST_NEW * len(own)
    ]
    return Compared(new, [w for w in hashes if w not in new], unreadable)
