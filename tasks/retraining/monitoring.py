"""What a monitor does: a window, or the new windows of an inbox, compared with a reference."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.runtime import deployment
from pydantic import JsonValue

from headrace.infra.errors import InputError, NoTextError, UnreadableError, ValidationError
from headrace.tasks.configuration.settings import DriftSettings, MonitorConfig, component
from headrace.tasks.input_checks import reference_of
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.alerts import emit
from headrace.tasks.retraining.drift import compare_texts, release_id
from headrace.tasks.retraining.inbox import dissolve, next_windows, watching
from headrace.tasks.retraining.verdicts import Finding, keep_verdict
from headrace.tasks.retraining.window import Window, check_there


@dataclass(frozen=True)
class Pass:
    """The result of one look at an inbox, or at one window."""

    inbox: str | None
    """None: at one window."""
    findings: tuple[Finding, ...]
    """On each window that could be judged, or that no one can read."""
    waits: tuple[str, ...]
    """Why files wait for more text, or for a complete copy."""

    @property
    def standing(self) -> Finding:
        """The finding that stands for all: the last alert, else the last that was judged at all."""
        for kind in (True, False, None):
            for finding in reversed(self.findings):
                if finding.drift is kind:
                    return finding
        return Finding.none()

    def as_json(self) -> dict[str, JsonValue]:
        """Return the answer of `headrace monitor`."""
        if self.inbox is None:
            return self.standing.as_json()
        waits = {"waits": "; ".join(dict.fromkeys(self.waits))} if self.waits else {}
        return {
            **Finding.none().as_json(),
            **self.standing.as_json(),
            "inbox": self.inbox,
            "windows": [finding.as_json() for finding in self.findings],
            **waits,
            "drift": bool(self.standing.drift),
        }


def judge_window(reference: str | None, window: str, settings: MonitorConfig) -> Finding:
    """Whether a window has drifted from the reference; an alert is emitted as an event."""
    against = reference_of(reference, settings)
    drift = component(settings, DriftSettings)
    finding = compare_texts(against, Window.of(window), drift, settings.curate, settings)
    finding = finding.of(reference=release_id(against))
    if finding.drift:
        # A deployed run's window is a parameter that whoever has the API's password may set.
        owners = deployment.id is None
        finding = finding.of(outbox=emit(Alert.on(window, finding), settings, owners=owners))
    keep_verdict(window, finding)
    return finding


def watch_inbox(reference: str | None, inbox: str, settings: MonitorConfig) -> Pass:
    """Return the findings on the new windows of an inbox, and which one stands for the pass."""
    # What is wrong with the reference is no window's fault.
    check_there(reference_of(reference, settings))
    with watching(inbox):
        windows = next_windows(inbox, settings.inbox)
        results = [_judge(reference, window, settings) for window in windows]
    return Pass(
        inbox,
        tuple(r for r in results if isinstance(r, Finding)),
        tuple(r for r in results if isinstance(r, str)),
    )


def _judge(reference: str | None, window: str, settings: MonitorConfig) -> Finding | str:
    """Return the finding on a window, or why its files wait for more."""
    try:
        return judge_window(reference, window, settings).of(window=window)
    except (UnreadableError, NoTextError) as error:
        # It won't become readable, and the windows after it must not wait for it.
        finding = Finding.unreadable(window, error.message)
        keep_verdict(window, finding)
        return finding
    except (ValidationError, InputError) as error:
        # Too little text for a test, or a file has gone or changed meanwhile: what is there joins
        # what comes next.
        dissolve(window)
        return error.message
