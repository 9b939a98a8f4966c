"""An alert: what the drift event says, as another monitor or headrace's own raises it."""

from __future__ import annotations

from headrace.infra.configuration.settings import Settings
from headrace.infra.stack.events import Payload
from headrace.tasks.retraining.verdicts import Finding


class Alert(Settings):
    """The payload of a drift event; what a monitor doesn't know is null."""

    model_config = Settings.model_config | {"extra": "ignore"}

    window: str | None = None
    """Where the text is that drifted; another monitor's lies in the state folder, the inbox or
    `alert_roots`."""
    reference: str | None = None
    """Release that it was compared with."""
    p_value: float | None = None
    """Family-wise p-value of the test."""
    effect: float | None = None
    """Share of the window that differs."""
    drifted: list[str] | None = None
    """What shifted."""
    report: str | None = None
    """Page about it."""
    more: tuple[str | None, ...] = ()
    """Windows of further alerts, which this run has taken over."""
    event: str | None = None
    """Id of the event that started the run."""
    occurred: str | None = None
    """Time of that event."""

    @classmethod
    def on(cls, window: str, finding: Finding) -> Alert:
        """Return the alert on a window that has drifted."""
        return cls(
            window=window,
            reference=finding.reference,
            p_value=finding.p_value,
            effect=finding.effect,
            drifted=list(finding.drifted),
            report=finding.report,
        )

    @property
    def windows(self) -> tuple[str | None, ...]:
        """The windows that the run is asked to learn; None: all that the inboxes hold."""
        return (self.window, *self.more)

    def payload(self) -> Payload:
        """Return what the event says."""
        fields = self.model_dump(exclude={"more", "event", "occurred"})
        return Payload.model_validate(fields)
