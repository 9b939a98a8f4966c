"""The end of what decides on a version, or reads the audit file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.flows.recorded_lines import DECIDED, recorded
from headrace.flows.summaries.layout import rule, table
from headrace.infra.visible import visible

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.infra.audit import AuditEntry
    from headrace.tasks.gate.decisions import PersonDecision, Verified


def decision_screen(made: PersonDecision) -> str:
    """The end of `headrace decide` and `rollback`."""
    rows = [
        (f"version {made.version}", f"{DECIDED[made.decision]}, by {made.by}"),
        ("because", made.why),
        ("champion", f"version {made.champion}" if made.champion else "none"),
    ]
    rows += [("passed by", f"version {x.version} {x.because}") for x in made.skipped or ()]
    return "\n".join([rule("decision"), *table(rows)])


def audit_screen(verified: Verified) -> str:
    """The end of `headrace audit verify`."""
    rows = [("recorded lines", f"{verified.lines:,}, the chain holds")]
    if verified.unsigned:
        rows.append(("not signed", f"{verified.unsigned:,}: written before there was a key"))
    if verified.last:
        rows.append(("last hash", verified.last))
    if verified.torn:
        rows.append(("torn last line", "a decision that a kill cut short; it was never made"))
    rows.append(("file", verified.file))
    return "\n".join([rule("audit"), *table(rows)])


def decisions_screen(entries: Sequence[AuditEntry]) -> str:
    """The end of `headrace audit show`: a line each, the oldest first."""
    lines = [visible(f"  {recorded(entry)}") for entry in entries]
    return "\n".join([rule("recorded"), *(lines or ["  nothing yet"])])
