"""A person's decisions on model versions, and the check of the file that records them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from headrace.infra import audit
from headrace.infra.audit import AuditEntry
from headrace.infra.configuration.settings import Shared
from headrace.infra.json_types import Json
from headrace.infra.registry.rules import DECISIONS
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry


class Skipped(BaseModel, frozen=True):
    """A former champion that a rollback couldn't lead back to."""

    version: str
    because: str


class PersonDecision(BaseModel):
    """A recorded decision of a person on a version."""

    model_config = ConfigDict(frozen=True)

    version: str
    """After a rollback the one that is champion again."""
    decision: str = Field(validation_alias="action")
    champion: str | None = Field(validation_alias="to")
    """The version that is champion now."""
    by: str = Field(validation_alias="who")
    why: str
    before: str | None = Field(validation_alias="from", serialization_alias="from")
    """The version that was champion."""
    skipped: tuple[Skipped, ...] | None = None
    """Former champions that a rollback passed by; None: it was no rollback."""

    def as_json(self) -> dict[str, JsonValue]:
        """Answer of `headrace decide` and `rollback`."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def decide_version(
    version: str, promote: bool, who: str, why: str, shared: Shared, stale: bool = False
) -> PersonDecision:
    """Record a person's decision on a version, and carry it out.

    `stale` promotes what waits although its rival is the champion no longer.

    Raises:
        UsageError: no such version, it is the champion already, no one or no reason is named, or
            the comparison is stale.
    """
    made = registry(shared.model.name).decide(version, promote, who, why, stale)
    return PersonDecision.model_validate({k: v for k, v in made.entry.items() if k != "skipped"})


def roll_back(who: str, why: str, shared: Shared) -> PersonDecision:
    """Back to the champion before, recorded and carried out.

    Raises:
        UsageError: there was no champion before, or no one or no reason is named.
    """
    return PersonDecision.model_validate(registry(shared.model.name).rollback(who, why).entry)


@dataclass(frozen=True)
class Recorded:
    """What the audit file holds, the oldest line first."""

    file: str
    lines: tuple[AuditEntry, ...]
    """Decisions, and what else is recorded: releases, deployments, thresholds, removals, and
    aliases that were moved in MLflow."""

    def as_json(self) -> dict[str, Json]:
        """Answer of `headrace audit show`."""
        decisions = [line for line in self.lines if line["action"] in DECISIONS]
        return {"file": self.file, "decisions": decisions, "lines": self.lines}


def recorded_decisions() -> Recorded:
    """Return the lines of the audit file.

    Raises:
        ValidationError: a line was edited, is missing or stands elsewhere.
    """
    return Recorded(str(home().audit), tuple(audit.read(home().audit)))


class Verified(BaseModel, frozen=True):
    """An audit file whose chain holds."""

    file: str
    lines: int
    last: str | None
    """Hash of the last line; None: there is none."""
    torn: bool
    """Whether a kill cut a last line short, whose decision was never made."""
    unsigned: int
    """Lines that were written before there was a key."""


def verify_decisions() -> Verified:
    """Check the audit file.

    Raises:
        ValidationError: a line was edited, is missing, stands elsewhere or was forged.
    """
    return Verified.model_validate(asdict(audit.verify(home().audit)))
