"""What alert-driven retrainings have used, and whether the next one may begin now.

`alerts.jsonl` in the state folder has a line for each that ended: `ended`, `seconds`, `tokens`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.home import home
from headrace.infra.process import DEADLINE
from headrace.tasks.settings import RetrainSettings, RetrainVerb


@dataclass(frozen=True)
class Allowance:
    """What a retraining may use; None: as much as it likes."""

    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Later:
    """Not now: when again, and why."""

    at: datetime
    why: str


LEAST_TOKENS = 20_000
"""Fewer than this teach nothing."""


def _file() -> Path:
    return home().root / "alerts.jsonl"


def _history() -> list[dict[str, Any]]:
    if not _file().exists():
        return []
    lines = _file().read_text().split("\n")[:-1]  # a torn last line was never finished
    return [{**e, "ended": datetime.fromisoformat(e["ended"])} for e in map(json.loads, lines)]


def allowance(settings: RetrainSettings, now: datetime | None = None) -> Allowance | Later:
    """What an alert-driven retraining may use now, or when to ask again."""
    now, past, budget = now or datetime.now(UTC), _history(), settings.budget
    if past:
        ready = past[-1]["ended"] + timedelta(minutes=settings.cooldown_minutes)
        if ready > now:
            return Later(ready, f"cool-down of {settings.cooldown_minutes:g} minutes")
    period = timedelta(hours=budget.hours)
    recent = [e for e in past if e["ended"] > now - period]
    tokens = None if budget.tokens is None else budget.tokens - sum(e["tokens"] for e in recent)
    seconds = (
        None if budget.minutes is None else budget.minutes * 60 - sum(e["seconds"] for e in recent)
    )
    # The rest of a budget is no round: its result would stand for all of the window.
    if tokens is not None and tokens < min(LEAST_TOKENS, budget.tokens or 0):
        tokens = 0
    for left, what in ((tokens, f"{budget.tokens} tokens"), (seconds, f"{budget.minutes} minutes")):
        if left is not None and left <= 0:
            return Later(
                recent[0]["ended"] + period, f"budget of {what} in {budget.hours:g} hours is used"
            )
    return Allowance(tokens, seconds)


def limited(settings: RetrainVerb, may: Allowance) -> RetrainVerb:
    """The settings of a retraining that keeps to what it may use."""
    if may.tokens is None or may.tokens >= settings.ewc.material.tokens:
        return settings
    material = settings.ewc.material.model_copy(update={"tokens": may.tokens})
    ewc = settings.ewc.model_copy(update={"material": material})
    return settings.model_copy(update={"ewc": ewc})


@contextmanager
def accounted(may: Allowance) -> Iterator[dict[str, int]]:
    """A retraining on an alert: ended where its minutes are over, and recorded when it ends.

    Put the tokens that it trained on into `tokens` of what this gives.
    """
    began, used = time.time(), {"tokens": 0}
    if may.seconds is not None:
        os.environ[DEADLINE] = str(began + may.seconds)
    try:
        yield used
    finally:
        os.environ.pop(DEADLINE, None)
        _record(time.time() - began, used["tokens"])


def _record(seconds: float, tokens: int) -> None:
    """Record an alert-driven retraining that has ended."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"ended": now, "seconds": round(seconds, 1), "tokens": tokens})
    storage.append_line(_file(), line.encode())
