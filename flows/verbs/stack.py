"""Verbs of the stack: start and stop it, reach it, register deployments."""

from __future__ import annotations

import shlex
from dataclasses import asdict

import click
from click.core import ParameterSource

from headrace.flows.cli_runtime import Answer, Call, found_servers, join_prefect, verb
from headrace.infra.configuration.settings import layered
from headrace.infra.stack import record, stack
from headrace.infra.stack.profiles import profile_settings
from headrace.infra.state.state_dir import home

verbs = click.Group()


@verb(verbs, "up", "headrace up --set ports.prefect=4300")
@click.option("--reset", is_flag=True, help="Forget the settings of earlier calls first.")
@click.option("--adopt", is_flag=True,
              help="This folder, a copy, takes the place of the one whose databases it has."
              )  # fmt: skip
def up(call: Call, reset: bool, adopt: bool) -> Answer:
    """Start the local stack: Prefect and its workers, MLflow, a Spark cluster; all on loopback.

    A process that dies comes back. Asking again changes nothing; what it is given is kept, and the
    work pools are those that `headrace deploy` keeps. Alerts that waited are sent.
    Where PREFECT_API_URL or MLFLOW_TRACKING_URI name a server of others, that one is used.
    """
    from headrace.infra.configuration.settings import parse_sets
    from headrace.infra.stack import database, pools
    from headrace.tasks.configuration import kept_settings
    from headrace.tasks.configuration.settings import UpConfig, component

    for given in parse_sets(call.sets):
        database.refuse_password(given.data.get("database"))
    sources, profile = call.given(UpConfig), profile_settings(call.profile)
    given_names = {name for source in sources for name in source.data}
    kept = kept_settings.read(without_stack=reset)
    if adopt:
        database.adopt(home())
    usual = {str(name): port for name, port in kept_settings.of_up(kept, profile).ports.items()}
    made = kept_settings.of_up(kept, profile, sources)
    settings = component(made, stack.StackSettings)
    asked = layered(UpConfig, sources).ports
    from headrace.flows.summaries.stack import stack_screen
    from headrace.infra.registry import kept_registry
    from headrace.infra.stack.endpoints import endpoints
    from headrace.infra.stack.ways_in import ways_in
    from headrace.tasks.retraining.alerts import send_outbox

    if record.running(home()) is None:  # one that runs says by itself what it was started for
        found_servers()
    services = stack.up(home(), settings.model_copy(update={"ports": asked}), given_names, usual)
    kept_settings.keep_up(kept, sources, made)
    found = endpoints(home())
    if not found.mlflow.own:
        kept_registry.note(home(), found.mlflow.url, own=False)
    sent = send_outbox()
    lacking: list[str] = []
    if found.prefect is not None:
        used = pools.of_deployments(found.prefect.url, kept_settings.left())
        lacking = pools.without_worker(found.prefect.url, used - stack.served(home()))
    ways = ways_in(found, {service.name: service.address for service in services})
    data = {
        "services": [asdict(service) for service in services],
        "alerts_sent": sent,
        "without_worker": lacking,
        **asdict(ways),
    }
    return Answer(data, stack_screen(services, ways, lacking, sent))


@verb(verbs, "env", 'eval "$(headrace env)"', reads=True)
def env(call: Call) -> Answer:
    """Print the variables by which Prefect's, MLflow's and Spark's own clients reach what is used.

    They hold passwords: of `headrace up`'s servers, or of those that the environment names.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    data = found_servers().environment()
    return Answer(data, "\n".join(f"export {k}={shlex.quote(v)}" for k, v in sorted(data.items())))


@verb(verbs, "down", "headrace down", reads=True)
def down(call: Call) -> Answer:
    """Stop the local stack; a flow that runs resumes where it was once the stack is up again."""
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    stopped = stack.down(home())
    text = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
    return Answer({"stopped": stopped}, text)


@verb(verbs, "deploy", "headrace deploy --set inbox=s3://corpus/incoming")
@click.option("--reset", is_flag=True, help="Forget the settings of earlier calls first.")
def deploy(call: Call, reset: bool) -> Answer:
    """Register deployments, schedules and automations with the Prefect server.

    It is that of `headrace up`, or another's that PREFECT_API_URL names.

    Settings are kept: deploying again changes only what it is given, and shows each change.
    """
    from headrace.tasks.configuration.settings import DeployConfig

    given = call.given(DeployConfig)
    source = click.get_current_context().get_parameter_source("profile")
    profile = call.profile if source is ParameterSource.COMMANDLINE else None
    mlflow = join_prefect().mlflow
    from headrace.flows.deployments import deploy as register
    from headrace.flows.summaries.stack import deployments_screen
    from headrace.infra.registry import kept_registry

    made = register(given, profile, reset)
    if not mlflow.own:
        kept_registry.note(home(), mlflow.url, own=False)
    return Answer(made.as_json(), deployments_screen(made))
