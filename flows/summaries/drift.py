"""The end of `headrace monitor`, and of what waits to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.flows.summaries.layout import rule, table

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.retraining.verdicts import Finding


def drift_screen(findings: Sequence[Finding], waits: Sequence[str] = ()) -> str:
    """The end of `headrace monitor`.

    Args:
        findings: on each window.
        waits: why files of the inbox wait for more text.
    """
    rows = [row for finding in findings for row in _window_rows(finding)]
    rows = rows or [("windows", "no new one")]
    if waits:
        rows.append(("waits", "; ".join(dict.fromkeys(waits))))
    return "\n".join([rule("monitor"), *table(rows)])


def _window_rows(finding: Finding) -> list[tuple[str, str]]:
    """The finding on one window."""
    rows = [("window", finding.window)] if finding.window is not None else []
    if finding.drift is None:
        return [*rows, ("verdict", f"unreadable: {finding.why}")]
    verdict = "DRIFT" if finding.drift else "no drift"
    rows.append(("verdict", f"{verdict}  (p {finding.p_value:.2g}, effect {finding.effect:.2f})"))
    if finding.drifted:
        rows.append(("what shifted", ", ".join(finding.drifted)))
    if finding.drift:
        rows += _alert(finding)
    return [*rows, ("report", str(finding.report))]


def waits_in(outbox: str, why: str | None) -> str:
    """Where an alert waits, and why where that is known."""
    return f"waits in {outbox}" + (f": {why}" if why else "")


def _alert(finding: Finding) -> list[tuple[str, str]]:
    """What became of the alert on a window, and what follows."""
    if finding.outbox:
        return [("alert", f"raised; it {waits_in(finding.outbox, finding.alert_waits)}")]
    return [
        ("alert", "raised, and sent to Prefect"),
        ("what follows", "retrain/on-drift learns the window, and the gate decides: "
         "`headrace status` shows its run"),
    ]  # fmt: skip
