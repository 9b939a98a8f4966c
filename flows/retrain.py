"""A round of retraining: on a window, on an alert, by schedule, or within the chain."""

from __future__ import annotations

from pydantic.json_schema import SkipJsonSchema

from headrace.flows.box import Outcome, box
from headrace.flows.retrain_round import RetrainJob, retrain_once
from headrace.flows.retrain_triggers import end_state, on_alert, on_window
from headrace.tasks.configuration.settings import RetrainConfig
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.round import Retrained

_SETTINGS = RetrainConfig()


@box("retrain", hours=48)
def retrain(
    window: str | None = None,
    force: bool = False,
    alert: Alert | None = None,
    settings: RetrainConfig = _SETTINGS,
    job: SkipJsonSchema[RetrainJob | None] = None,  # the command's or another flow's only round
    chain: SkipJsonSchema[str | None] = None,  # parent run in MLflow of the job's round
) -> Outcome[Retrained | None]:
    """Drift -> curate window -> EWC -> gate -> promote or refuse.

    Args:
        window: Release or raw text; none: what the windows of the inboxes hold that the champion
            doesn't know yet.
        force: Skip the drift test.
        alert: The drift event's payload: the alert is trusted as `force` is.
        settings: As `headrace retrain` takes them by --config and --set.
    """
    if job is not None:
        made = retrain_once(job, chain)
        return Outcome(made, lambda _: end_state(made))
    state = on_window(window, force, settings) if alert is None else on_alert(alert, settings)
    return Outcome(None, lambda _: state)


def retrained(job: RetrainJob, chain: str | None = None) -> Retrained:
    """What a job's round comes to, as a run of the flow.

    `chain`: parent run in MLflow.
    """
    made = retrain(job=job, chain=chain)
    assert made is not None, "a job makes a round"
    return made
