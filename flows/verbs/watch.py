"""Verbs that keep watch: alerts of other monitors come in, and where all stands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from headrace.flows.cli_runtime import PLACE, Answer, Call, found_servers, verb
from headrace.flows.verbs.places import there
from headrace.infra.visible import visible

verbs = click.Group()


@verb(verbs, "alert", "headrace alert --window news-of-may.jsonl")
@click.option("--window", required=True, type=PLACE, metavar="URI", help="The text that drifted.")
def alert(call: Call, window: str) -> Answer:
    """Emit the drift event for an alert that another monitor raised; it starts a retraining."""
    from headrace.infra.configuration.settings import Shared

    settings, uri = call.settings(Shared), there(window)
    from headrace.tasks.retraining.alert import Alert
    from headrace.tasks.retraining.alerts import raise_alert

    receipt = raise_alert(Alert(window=uri), settings)
    from headrace.flows.summaries.drift import waits_in

    state = "sent" if receipt.sent else waits_in(str(receipt.outbox), receipt.why)
    return Answer(asdict(receipt), visible(f"alert for {receipt.window}: {state}"))


@verb(verbs, "receive", "headrace receive --port 9098")
@click.option("--port", type=click.IntRange(1, 65535), default=9098, show_default=True,
              help="On loopback.")  # fmt: skip
def receive(call: Call, port: int) -> Answer:
    """Turn webhooks of Alertmanager, Grafana and Evidently into alerts, until it is ended.

    POST to /alertmanager or /evidently, with ?window=URI for alerts that name none; GET /metrics
    for Prometheus. All want the token; it prints where that is.
    """
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.receiver import serve

    found_servers()
    serve(port, settings)
    return Answer({"port": port}, "")


@verb(verbs, "status", "headrace status", reads=True)
@click.option("--textfile", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write it for Prometheus' textfile collector too, as headrace.prom."
              )  # fmt: skip
def status(call: Call, textfile: Path | None) -> Answer:
    """Champion, what waits for a decision, last window, what runs and comes next, disk.

    Under --json also the runs that alerts made, as `alert_runs`.
    """
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.summaries.status import status_screen

    if textfile is not None:
        from headrace.tasks.operations.prometheus import write_textfile

        found = write_textfile(textfile, settings)
    else:
        from headrace.tasks.operations.status import status as look

        found = look(settings)
    return Answer(found.as_json(), status_screen(found))
