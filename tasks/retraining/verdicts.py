"""Verdicts on windows: what the monitor found, kept for the window and as the newest of all."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field, JsonValue

from headrace.infra import storage
from headrace.infra.files import quarantine
from headrace.infra.files.quarantine import Instant
from headrace.infra.state.state_dir import home
from headrace.tasks.retraining.records import VERDICT, Record, beside, is_of_inbox


class Finding(Record):
    """What comparing a window with a reference gave; of a window that can't be read, `why`.

    Its JSON has the fields that were given.
    """

    window: str | None = None
    drift: bool | None = None
    """None: the window can't be read."""
    p_value: float | None = None
    effect: float | None = None
    """Share of the window that differs."""
    drifted: tuple[str, ...] = Field(default=(), strict=False)
    """What shifted."""
    report: str | None = None
    sections: JsonValue = None
    """The report's sections, or where they are stored."""
    tests: list[JsonValue] = Field(default=[])
    """Tests of the nearest reference."""
    references: list[JsonValue] = Field(default=[])
    """The comparison with each reference."""
    without_loss: str | None = None
    """Why the model's loss isn't among the tests."""
    reference: str | None = None
    """Release that it was compared with; None: other text."""
    outbox: str | None = None
    """File where its alert waits."""
    alert_waits: str | None = None
    """Why it waits there."""
    why: str | None = None

    @classmethod
    def unreadable(cls, window: str, why: str) -> Finding:
        """Return the finding on a window that no one can read."""
        return cls.none().of(window=window, why=why)

    @classmethod
    def none(cls) -> Finding:
        """Return the finding of a pass without a window."""
        return cls(drift=None, p_value=None, effect=None, drifted=(), report=None)

    def of(self, **fields: str | None) -> Finding:
        """Return the same finding with further fields."""
        return self.model_copy(update=fields)

    def as_json(self) -> dict[str, JsonValue]:
        """Return the fields that were given, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class Verdict(Record):
    """The record of a finding on a window."""

    window: str
    judged: Instant
    drift: bool | None
    p_value: float | None = None
    effect: float | None = None
    drifted: list[str] | None = None
    report: str | None = None
    why: str | None = None
    reference: str | None = None


def keep_verdict(window: str, finding: Finding) -> None:
    """Keep the verdict on a window; last, when its alert is out."""
    fields = ("drift", "p_value", "effect", "drifted", "report", "why", "reference")
    verdict = {
        "window": window,
        "judged": datetime.now(UTC).isoformat(timespec="seconds"),
        **finding.model_dump(mode="json", include=set(fields)),
    }
    if is_of_inbox(window):
        storage.write_json(beside(window, VERDICT), verdict)
    storage.write_json(home().windows / "last.json", verdict)


def verdict_on(window: str) -> Verdict | None:
    """Return the verdict on a window of an inbox; None where there is none, or it is damaged."""
    if not is_of_inbox(window):
        return None
    return quarantine.read(beside(window, VERDICT), Verdict.model_validate)


def last_verdict() -> Verdict | None:
    """Return the newest verdict on any window, None before there is one."""
    return quarantine.read(home().windows / "last.json", Verdict.model_validate)
