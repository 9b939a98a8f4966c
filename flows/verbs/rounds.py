"""Verbs of a round through drift: compare a window, teach it."""

from __future__ import annotations

from dataclasses import replace

import click

from headrace.flows.cli_runtime import PLACE, Answer, Call, start_prefect, verb
from headrace.flows.verbs.places import there
from headrace.infra import storage
from headrace.infra.errors import UsageError

verbs = click.Group()


@verb(verbs, "monitor", "headrace monitor --window news-of-may.jsonl")
@click.option(
    "--reference", type=PLACE, metavar="URI", help="Release or raw text; default: the champion's."
)
@click.option("--window", type=PLACE, metavar="URI", help="Release or raw text.")
@click.option(
    "--inbox",
    type=PLACE,
    metavar="URI",
    help="Folder or s3:// prefix: its new files make a window.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 6 where drift is found.")
def monitor(
    call: Call, reference: str | None, window: str | None, inbox: str | None, exit_code: bool
) -> Answer:
    """Whether a window of text has drifted; emits the event on an alert."""
    if bool(inbox) == bool(window):
        raise UsageError("monitor takes --window or --inbox", "give one of them")
    from headrace.tasks.configuration.settings import MonitorConfig

    settings, against = call.settings(MonitorConfig), there(reference) if reference else None
    text = there(window) if window else None
    from headrace.tasks.input_checks import check_reference
    from headrace.tasks.retraining.inbox import check_inbox

    if inbox:
        check_inbox(storage.display(inbox))
    check_reference(reference, settings)
    start_prefect()
    from headrace.flows.monitor import monitor as flow
    from headrace.flows.summaries.drift import drift_screen
    from headrace.tasks.retraining.alerts import with_reasons

    watched = flow(inbox, text, against, settings)
    watched = replace(watched, findings=with_reasons(watched.findings))
    code = 6 if exit_code and watched.standing.drift else 0
    return Answer(watched.as_json(), drift_screen(watched.findings, watched.waits), code)


@verb(verbs, "retrain", "headrace retrain --window news-of-may.jsonl")
@click.option("--window", required=True, type=PLACE, metavar="URI", help="Release or raw text.")
@click.option("--force", is_flag=True, help="Skip the drift test.")
def retrain(call: Call, window: str, force: bool) -> Answer:
    """Teach the champion a window: monitor, curate, EWC, gate, promote or refuse."""
    from headrace.tasks.configuration.settings import RetrainConfig

    settings = call.settings(RetrainConfig)
    uri = there(window)
    from headrace.tasks.input_checks import check_model, check_policy

    check_policy(settings.gate.policy)
    check_model("champion", settings)
    start_prefect()
    from headrace.flows.retrain import retrained
    from headrace.flows.retrain_round import RetrainJob
    from headrace.flows.summaries.chain import round_screen
    from headrace.tasks.retraining.window import Window

    made = retrained(RetrainJob(window=Window.of(uri), force=force, settings=settings))
    promoted = made.gated is None or made.gated.promoted
    return Answer(made.as_json(), round_screen(made), 0 if promoted else 5)
