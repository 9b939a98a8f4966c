"""Verbs by which a person decides on a version."""

from __future__ import annotations

import click

from headrace.flows.cli_runtime import TEXT, Answer, Call, verb
from headrace.infra.errors import UsageError

verbs = click.Group()


@verb(verbs, "decide", 'headrace decide --version 3 --refuse --by "A. Lead" --why "too curt"')
@click.option("--version", required=True, metavar="N", help="Version of the registered model.")
@click.option("--promote", is_flag=True, help="Make it the champion.")
@click.option("--refuse", is_flag=True, help="Leave the champion where it is.")
@click.option("--by", required=True, type=TEXT, metavar="NAME", help="Who decides.")
@click.option("--why", required=True, type=TEXT, metavar="TEXT", help="The reason, for the record.")
@click.option("--stale", is_flag=True,
              help="With --promote: also where another champion has come in since the "
              "comparison.")  # fmt: skip
def decide(
    call: Call, version: str, promote: bool, refuse: bool, by: str, why: str, stale: bool
) -> Answer:
    """A person's decision on a version: overrides the gate, or decides what it left waiting.

    It is a line of audit.jsonl first. A refusal moves nothing.
    """
    if promote == refuse:
        raise UsageError("decide needs one of --promote and --refuse", "say which of the two")
    if stale and refuse:
        raise UsageError("--stale goes with --promote", "a refusal needs no fresh comparison")
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.summaries.records import decision_screen
    from headrace.tasks.gate.decisions import decide_version

    made = decide_version(version, promote, by, why, settings, stale)
    return Answer(made.as_json(), decision_screen(made))


@verb(verbs, "rollback", 'headrace rollback --by "A. Lead" --why "slower"')
@click.option("--by", required=True, type=TEXT, metavar="NAME", help="Who decides.")
@click.option("--why", required=True, type=TEXT, metavar="TEXT", help="The reason, for the record.")
def rollback(call: Call, by: str, why: str) -> Answer:
    """Back to the champion before; a second rollback goes one further back."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.summaries.records import decision_screen
    from headrace.tasks.gate.decisions import roll_back

    made = roll_back(by, why, settings)
    return Answer(made.as_json(), decision_screen(made))
