"""What alert-driven retrainings have used, and whether the next one may begin now.

`alerts.jsonl` in the state folder has a line for each that ended: `ended`, `seconds`, `tokens`.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from headrace.infra import storage
from headrace.infra.files.quarantine import Instant
from headrace.infra.state import clock
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import DEADLINE
from headrace.tasks.configuration.settings import RetrainConfig, RetrainSettings

logger = logging.getLogger(__name__)


class _Ended(clock.Stamp):
    """A line of the history."""

    model_config = ConfigDict(frozen=True, strict=True)

    ended: Instant
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tokens: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Allowance:
    """What a retraining may use; None: as much as it likes."""

    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Deferred:
    """Not now: when to ask again, and why."""

    at: datetime
    why: str


@dataclass
class Usage:
    """What a retraining has used so far."""

    tokens: int = 0
    """Trained on."""


LEAST_TOKENS = 20_000
"""Fewer than this teach nothing."""


def _file() -> Path:
    return home().root / "alerts.jsonl"


def _history() -> list[tuple[float, _Ended]]:
    """(Seconds since it ended, what it used) of each, the oldest first.

    A torn last line was never finished; any other that is damaged is reported.
    """
    try:
        lines = _file().read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    history: list[tuple[float, _Ended]] = []
    least = 0.0
    for number, line in reversed(list(enumerate(lines, 1))):
        try:
            ended = _Ended.model_validate_json(line)
        except ValueError:
            logger.warning("%s line %d is skipped: it is not a record", _file(), number)
            continue
        # What stands earlier is older, whatever the clock said then.
        least = max(least, clock.age(datetime.fromisoformat(ended.ended), ended))
        history.insert(0, (least, ended))
    return history


def allowance(settings: RetrainSettings) -> Allowance | Deferred:
    """Return what an alert-driven retraining may use now, or when to ask again."""
    past, budget = _history(), settings.budget
    if past:
        wait = settings.cooldown_minutes * 60 - past[-1][0]
        if wait > 0:
            return _deferred(wait, f"cool-down of {settings.cooldown_minutes:g} minutes")
    period = budget.hours * 3600
    recent = [(age, ended) for age, ended in past if age < period]
    tokens = None if budget.tokens is None else budget.tokens - sum(e.tokens for _, e in recent)
    seconds = None
    if budget.minutes is not None:
        seconds = budget.minutes * 60 - sum(e.seconds for _, e in recent)
    # A truncated round would count as the result of its whole window.
    if tokens is not None and tokens < min(LEAST_TOKENS, budget.tokens or 0):
        tokens = 0
    for left, what in ((tokens, f"{budget.tokens} tokens"), (seconds, f"{budget.minutes} minutes")):
        if left is not None and left <= 0:
            why = f"budget of {what} in {budget.hours:g} hours is used"
            return _deferred(period - recent[0][0] if recent else period, why)
    return Allowance(tokens, seconds)


def _deferred(seconds: float, why: str) -> Deferred:
    return Deferred(clock.now() + timedelta(seconds=seconds), why)


def limited(settings: RetrainConfig, allowed: Allowance) -> RetrainConfig:
    """Return the settings of a retraining that keeps to what it may use."""
    if allowed.tokens is None or allowed.tokens >= settings.ewc.material.tokens:
        return settings
    material = settings.ewc.material.model_copy(update={"tokens": allowed.tokens})
    ewc = settings.ewc.model_copy(update={"material": material})
    return settings.model_copy(update={"ewc": ewc})


@contextmanager
def accounted(allowed: Allowance) -> Iterator[Usage]:
    """Hold a retraining on an alert to its minutes, and record it when it ends."""
    began, used = time.monotonic(), Usage()
    if allowed.seconds is not None:
        os.environ[DEADLINE] = str(began + allowed.seconds)
    try:
        yield used
    finally:
        os.environ.pop(DEADLINE, None)
        _record(time.monotonic() - began, used.tokens)


def _record(seconds: float, tokens: int) -> None:
    """Record an alert-driven retraining that has ended."""
    ended = _Ended(
        ended=clock.now().isoformat(timespec="milliseconds"),
        seconds=round(seconds, 1),
        tokens=tokens,
        **clock.stamp().model_dump(),
    )
    storage.append_line(_file(), json.dumps(ended.model_dump()).encode())
