"""Lines of the audit file in words, for `headrace audit show` and `status`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from headrace.infra.audit import AuditEntry
from headrace.infra.registry.rules import DECISIONS, PROMOTE, REFUSE, ROLLBACK, Decision

DECIDED = {PROMOTE: "promoted", REFUSE: "refused", ROLLBACK: "champion again"}
"""What a decision on a version is called."""
_MOST = 5
"""Changed values that a line shows."""


class _Line(BaseModel):
    """What every line has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    time: str
    action: str
    model: str | None = None
    """Registered model that it is on."""
    account: str | None = None


class _Published(_Line):
    release_id: str
    release: str
    """Its folder."""


class _Changed(_Line):
    """Values by path, before and after: only those that are not the same in both."""

    before: dict[str, JsonValue] = Field(alias="from")
    after: dict[str, JsonValue] = Field(alias="to")

    def changes(self) -> str:
        """Return what has changed, as `path: old -> new`; where all is new, only how much."""
        before, after = self.before, self.after
        if not before:
            return f"{len(after):,} values, all of them new"
        paths = sorted({*before, *after})
        shown = [f"{p}: {before.get(p, 'none')} -> {after.get(p, 'none')}" for p in paths[:_MOST]]
        more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
        return ", ".join(shown) + more


class _Deployed(_Changed):
    deployments: tuple[str, ...]


class _Thresholds(_Changed):
    of: str


class _Expired(BaseModel):
    kind: str
    items: int


class _History(BaseModel):
    """Rows of Prefect's database."""

    runs: int = 0
    events: int = 0


class _Removed(_Line):
    removed: tuple[str, ...] = ()
    """Folders of the state folder."""
    expired: tuple[_Expired, ...] = ()
    prefect: _History = _History()

    def names(self) -> str:
        """Return what was removed."""
        rows = {"runs": self.prefect.runs, "events": self.prefect.events}
        return ", ".join(
            [
                *self.removed,
                *(f"{one.kind}: {one.items}" for one in self.expired),
                *(f"{count} {name} of Prefect" for name, count in rows.items() if count),
            ]
        )


class _SetBack(_Line):
    """An alias that was moved in MLflow, and is set back."""

    why: str
    to: str | None


def decided(decision: Decision) -> str:
    """Return a recorded decision in a line: on which version, who, why, when."""
    made, before, after = (
        DECIDED.get(decision.action, decision.action),
        decision.before,
        decision.to,
    )
    moved = f" (champion {before or 'none'} -> {after})" if decision.moved else ""
    stale = decision.entry.get("stale")
    over = ", over a champion that it was not compared with" if stale else ""
    return (
        f"version {decision.version} {made}{moved}{over} by {decision.who or 'unknown'}, "
        f"{decision.time}: {decision.why or 'no reason given'}"
    )


def recorded(entry: AuditEntry) -> str:
    """Return a line of the audit file with its number: a decision, or what else has changed."""
    line = _Line.model_validate(entry)
    if line.action in DECISIONS:
        text = f"{line.model}: {decided(Decision.of(entry))}"
    else:
        text = f"{_other(line.action, entry)}, {line.time}"
    account = f" (account {line.account})" if line.account is not None else ""
    return f"{line.number:>4}  {text}{account}"


def _other(action: str, entry: AuditEntry) -> str:
    """Return what a line that decides on no version says."""
    match action:
        case "release":
            published = _Published.model_validate(entry)
            return f"release {published.release_id} published as {published.release}"
        case "deploy":
            deployed = _Deployed.model_validate(entry)
            return f"deployed {', '.join(deployed.deployments)}; {deployed.changes()}"
        case "thresholds":
            thresholds = _Thresholds.model_validate(entry)
            return f"thresholds of {thresholds.of}: {thresholds.changes()}"
        case "gc":
            return f"removed {_Removed.model_validate(entry).names()}"
        case "alias set back":
            back = _SetBack.model_validate(entry)
            return f"{back.model}: {back.why}; set back to version {back.to}"
    return action
