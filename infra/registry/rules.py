"""What the recorded decisions on a model's versions come to: pure functions of audit entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headrace.infra.audit import AuditEntry
from headrace.infra.errors import UsageError

GATE = "gate"
"""Who decides where no person does."""
PROMOTE, REFUSE, ROLLBACK = "promote", "refuse", "rollback"
DECISIONS = (PROMOTE, REFUSE, ROLLBACK)
"""Actions of audit entries that decide on a version."""
WAITING = "waiting"
"""Tag of a version that a person has to decide on."""
COMPARED = "compared_with"
"""Tag of a version that waits: the champion that it was compared with, or `NO_VERSION`."""
NO_VERSION = "none"
PLACES = ("export", "release")
"""Tags of a version, and fields of a decision on it: where its weights and its text are."""


@dataclass(frozen=True)
class Decision:
    """A recorded decision on a version."""

    entry: AuditEntry
    """Its line of the audit file."""
    number: int
    """Number of that line."""
    time: str
    action: str
    """One of `DECISIONS`."""
    version: str
    """The version that it decides on."""
    before: str | None
    """Champion before it."""
    to: str | None
    """Champion after it."""
    who: str | None
    why: str | None
    run_id: str | None
    """Run of the gate whose verdict it settles."""

    @classmethod
    def of(cls, entry: AuditEntry) -> Decision:
        """Return the decision that an entry records."""
        to = _text(entry, "to")
        return cls(
            entry=entry,
            number=int(str(entry["number"])),
            time=str(entry["time"]),
            action=str(entry["action"]),
            version=_text(entry, "version") or str(to),
            before=_text(entry, "from"),
            to=to,
            who=_text(entry, "who"),
            why=_text(entry, "why"),
            run_id=_text(entry, "run_id"),
        )

    @property
    def moved(self) -> bool:
        """Whether it changed the champion."""
        return self.to != self.before

    @property
    def places(self) -> tuple[str, ...]:
        """Where the version's weights and text are, as far as the decision says."""
        return tuple(value for name in PLACES if (value := _text(self.entry, name)))


def _text(entry: AuditEntry, field: str) -> str | None:
    value = entry.get(field)
    return None if value is None else str(value)


@dataclass(frozen=True)
class Skipped:
    """A former champion that a rollback passes by."""

    version: str
    because: str


@dataclass(frozen=True)
class Rollback:
    """Where a rollback leads."""

    before: str | None
    """Champion before it."""
    to: str
    skipped: tuple[Skipped, ...]
    """Former champions between the two, the nearest first."""


def decisions(entries: Sequence[AuditEntry], model: str) -> list[Decision]:
    """Return the decisions on a model's versions, oldest first."""
    return [Decision.of(e) for e in entries if e.get("model") == model and e["action"] in DECISIONS]


def champions(made: Sequence[Decision]) -> list[str]:
    """Return the stack of champions: the present one last, below it those to roll back to.

    A promotion puts a champion on it, a rollback takes one off, and those that it passed by.
    """
    stack: list[str] = []
    for decision in made:
        if decision.action == PROMOTE:
            stack.append(str(decision.to))
        elif decision.action == ROLLBACK:
            stack.pop()
            while stack and stack[-1] != decision.to:
                stack.pop()
    return stack


def approved(made: Sequence[Decision]) -> list[str]:
    """Return the versions that were promoted by a gate or a person, oldest first.

    One that was refused since, or that a rollback led away from, is approved no longer; until it is
    promoted again, or a rollback leads back to it.
    """
    versions: dict[str, None] = {}
    for decision in made:
        if decision.action == ROLLBACK and decision.before:
            versions.pop(decision.before, None)
        if decision.action == REFUSE:
            versions.pop(decision.version, None)
        elif decision.to:
            versions.setdefault(decision.to)
    return list(versions)


def since(made: Sequence[Decision], version: str) -> str | None:
    """Return when a version last became champion (ISO 8601, UTC), None if it never did."""
    times = [d.time for d in made if d.moved and d.to == version]
    return times[-1] if times else None


def settling(
    made: Sequence[Decision], version: str, expected: str | None, run_id: str
) -> Decision | None:
    """Return the last decision on a gate run's verdict on a version.

    A person's refusal is one on every verdict, and so is a rollback from the version. A promotion
    over the same rival is one whatever run asks again: that of another chain, or of a copy of the
    state folder.

    Args:
        made: all decisions, oldest first.
        version: the version.
        expected: the champion that it was compared with (None: there was none).
        run_id: the gate's run.
    """
    for decision in reversed(made):
        if decision.action == ROLLBACK and decision.before == version:
            return decision
        again = decision.action == PROMOTE and decision.before == expected
        same = decision.run_id == run_id or decision.action == REFUSE or again
        if same and decision.version == version:
            return decision
    return None


def go_back(made: Sequence[Decision], model: str, exists: Callable[[str], bool]) -> Rollback:
    """Return where a rollback leads: to the last champion before this one that is fit to be one.

    Args:
        made: all decisions, oldest first.
        model: name of the registered model.
        exists: whether a version is still registered.

    Raises:
        UsageError: there is none.
    """
    stack = champions(made)
    now = stack.pop() if stack else None
    skipped = []
    while stack and (unfit := _unfit(made, stack[-1], now, exists)):
        passed = stack.pop()
        if passed != now:
            skipped.append(Skipped(passed, unfit))
    if not stack:
        reasons = "".join(f"; version {x.version} {x.because}" for x in skipped)
        raise UsageError(
            f"{model} has no champion to go back to{reasons}",
            "promote another version: `headrace decide --version N --promote --by NAME --why TEXT`",
        )
    return Rollback(now, stack[-1], tuple(skipped))


def _unfit(
    made: Sequence[Decision], version: str, now: str | None, exists: Callable[[str], bool]
) -> str | None:
    """Return why a former champion can't be champion again; None if it can."""
    if version == now:
        return "is the champion"
    if not exists(version):
        return "was deleted in MLflow"
    last = next(d for d in reversed(made) if d.version == version)
    return "was refused" if last.action == REFUSE else None


def outdated_rival(tags: Mapping[str, str], now: str | None) -> str | None:
    """Return the rival of a version that waits, if that one is the champion no longer."""
    rival = tags.get(COMPARED) if WAITING in tags else None
    return None if rival is None or rival == (now or NO_VERSION) else rival


def named(version: str) -> str:
    """Return a version, or `NO_VERSION`, in words."""
    return "no model" if version == NO_VERSION else f"version {version}"
