"""The command `headrace`: verbs in the order of the chain."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click
from click.core import ParameterSource
from pydantic import JsonValue

from headrace.flows.cli_runtime import (
    MODEL,
    PLACE,
    SUITE,
    TEXT,
    Answer,
    Call,
    Stopped,
    Verb,
    finish,
    found_servers,
    join_prefect,
    log,
    not_built,
    start_prefect,
    verb,
    without_values,
)
from headrace.infra import console, faults, storage
from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import layered
from headrace.infra.errors import UsageError
from headrace.infra.stack import record, stack
from headrace.infra.stack.profiles import profile_settings
from headrace.infra.state import private
from headrace.infra.state.owner import other_owner
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible
from headrace.training.rlhf.stages import STAGES


class _Headrace(click.Group):
    """The verbs in the order of the chain, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names as they were registered."""
        return list(self.commands)


cli = _Headrace(
    "headrace",
    help="From a Chinese and English corpus to a model in production, and back round through "
    "drift.\n\nEvery verb takes --config, --set, --profile, --json; `headrace VERB --help` shows "
    "an example. State lives under HEADRACE_HOME (default: .headrace/ here).",
    context_settings={"help_option_names": ["-h", "--help"]},
)


click.version_option(package_name="headrace", message="headrace %(version)s")(cli)
COMPLETE = "_HEADRACE_COMPLETE"
"""Variable by which a shell asks for completions."""


def _verbs(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in cli.commands if name.startswith(incomplete)]


def _uri(value: str) -> str:
    return storage.display(value)


def _there(value: str) -> str:
    """A URI of text, refused before any work where nothing is there."""
    from headrace.infra.files.walk import expand

    expand(value)
    return _uri(value)


def _release(value: str) -> str:
    """The release that a folder is or holds the newest of, refused before any work."""
    from headrace.infra import releases

    folder = releases.newest(_uri(value))
    releases.manifest(folder)
    return folder


def _output(value: str) -> str:
    """Where a verb is to write, refused before any work where nothing can be written."""
    return storage.writable_folder(value)


@verb(cli, "run", "headrace run --input corpus/ --window news-of-may.jsonl")
@click.option(
    "--input", "inputs", multiple=True, type=PLACE, metavar="URI", help="Your own text. Repeatable."
)
@click.option(
    "--release",
    type=PLACE,
    metavar="URI",
    help="A finished release to start from, in place of text.",
)
@click.option("--window", type=PLACE, metavar="URI", help="Text for the drift round.")
def run(call: Call, inputs: tuple[str, ...], release: str | None, window: str | None) -> Answer:
    """The whole chain: text in, a gated model out, and a round through drift.

    Without --input or --release it takes real text that pinned packages ship. What is finished is
    reused, what was killed resumes.
    """
    if inputs and release:
        raise UsageError("run takes --input or --release", "give one of the two")
    from headrace.tasks.configuration.settings import RunVerb

    settings, sources = call.settings(RunVerb), tuple(map(_there, inputs))
    drifting = _there(window) if window else None
    from headrace.tasks.input_checks import check_policy, release_to_start_from

    check_policy(settings.gate.policy)
    if release:
        release_to_start_from(release)
    start_prefect()
    from headrace.flows.lifecycle import LifecycleJob, lifecycle
    from headrace.flows.summaries import run_screen

    job = LifecycleJob(inputs=sources, release=release, window=drifting, settings=settings)
    made = lifecycle(job)
    return Answer(made.as_json(), run_screen(made), 0 if made.first.promoted else 5)


@verb(cli, "curate", "headrace curate --input corpus/*.jsonl.gz --output curated")
@click.option("--input", "inputs", multiple=True, required=True, type=PLACE, metavar="URI",
              help="Files, folders or globs, also s3://. Repeatable.")  # fmt: skip
@click.option(
    "--output", required=True, type=PLACE, metavar="URI", help="Gets releases/ID and latest.json."
)
@click.option("--max-unreadable", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Publish nothing above this share of unreadable records or bytes (0.05)."
              )  # fmt: skip
def curate(
    call: Call, inputs: tuple[str, ...], output: str, max_unreadable: float | None
) -> Answer:
    """Five-level cleaning and deduplication of raw text into a release."""
    from headrace.tasks.configuration.settings import CurateVerb

    share: dict[str, JsonValue] = (
        {} if max_unreadable is None else {"input": {"max_unreadable": max_unreadable}}
    )
    settings, sources = call.settings(CurateVerb, **share), list(map(_there, inputs))
    place = _output(output)
    start_prefect()
    from headrace.flows.curate import curate as flow
    from headrace.flows.summaries import release_screen
    from headrace.tasks.answers import release_answer
    from headrace.tasks.corpus.curation import curate_job

    began = time.monotonic()
    release = flow(curate_job(settings, sources, place))
    data = release_answer(release, time.monotonic() - began)
    return Answer(data, release_screen(release))


@verb(cli, "replay", "headrace replay --release R --set semantics.threshold=0.8 --output O")
@click.option("--release", type=PLACE, metavar="URI")
@click.option("--output", type=PLACE, metavar="URI")
def replay(call: Call, release: str | None, output: str | None) -> Answer:
    """A new release from stored scores (not built yet)."""
    return not_built("replay", "`headrace curate` with the new settings gives the same release")


@verb(cli, "validate", "headrace validate --release curated/releases/ID")
@click.option(
    "--release",
    required=True,
    type=PLACE,
    metavar="URI",
    help="A release, or an output folder: its newest.",
)
def validate(call: Call, release: str) -> Answer:
    """Hold a release against the expectations."""
    from headrace.tasks.configuration.settings import CurateVerb

    call.settings(CurateVerb)
    folder = _release(release)
    from headrace.infra.artifacts import Release
    from headrace.tasks.answers import validation_answer
    from headrace.tasks.corpus.curation import validate_finished

    count = validate_finished(folder)
    data = validation_answer(Release.load(folder), count)
    return Answer(data, visible(f"{folder}: all {count} expectations hold"))


@verb(cli, "tokenize", "headrace tokenize --release curated/releases/ID --output tokens")
@click.option(
    "--release",
    required=True,
    type=PLACE,
    metavar="URI",
    help="A release, or an output folder: its newest.",
)
@click.option("--output", required=True, type=PLACE, metavar="URI", help="The folder to write.")
def tokenize(call: Call, release: str, output: str) -> Answer:
    """Packed token shards of a release, train/ and heldout/."""
    from headrace.tasks.configuration.settings import TokenizeVerb

    settings, place = call.settings(TokenizeVerb), _output(output)
    folder = _release(release)
    from headrace.tasks.answers import tokens_answer
    from headrace.tasks.corpus.tokens import tokenize_release

    made = tokenize_release(folder, place, settings)
    text = f"{made.tokens:,} tokens, {made.heldout_tokens:,} held out: {made.folder}"
    return Answer(tokens_answer(made), visible(text))


@verb(cli, "pretrain", "headrace pretrain --data tokens --preset local --output model")
@click.option(
    "--data", required=True, type=PLACE, metavar="URI", help="Folder that tokenize wrote."
)
@click.option("--preset", metavar="NAME", help="Shape and recipe (local).")
@click.option(
    "--output", required=True, type=PLACE, metavar="URI", help="Run folder; the same one resumes."
)
@click.option("--resume/--no-resume", default=True, help="Resume from the last checkpoint.")
def pretrain(call: Call, data: str, preset: str | None, output: str, resume: bool) -> Answer:
    """MoE pretraining through DeepSpeed."""
    from headrace.tasks.configuration.settings import PretrainVerb

    settings = call.settings(PretrainVerb, **({"preset": preset} if preset else {}))
    place = _output(output)
    from headrace.infra.artifacts import TokenSet
    from headrace.tasks.input_checks import check_fresh

    TokenSet.require(_uri(data))
    if not resume and (folder := storage.local_path(place)):
        check_fresh(folder)
    start_prefect()
    from headrace.flows.pretrain import pretrain as flow
    from headrace.flows.summaries import model_line
    from headrace.tasks.answers import model_answer
    from headrace.tasks.models.training import pretrain_job

    made = flow(pretrain_job(settings, _uri(data), place, resume))
    return Answer(model_answer(made), model_line(made))


@verb(cli, "plan", "headrace plan --preset moe-175b --gpus 512 --gpu h100", reads=True)
@click.option("--preset", required=True, metavar="NAME")
@click.option("--gpus", type=click.IntRange(1), required=True, metavar="N")
@click.option("--gpu", required=True, metavar="NAME", help="h100, h200, a100 ...")
def plan(call: Call, preset: str, gpus: int, gpu: str) -> Answer:
    """Memory per device, speed and cost of a preset before you rent anything."""
    from headrace.tasks.configuration.settings import PretrainVerb

    settings = call.settings(PretrainVerb, preset=preset)
    from headrace.flows.summaries import plan_screen
    from headrace.tasks.models.training import plan_preset

    need = plan_preset(settings, gpus, gpu)
    return Answer(asdict(need), plan_screen(need, settings.preset, f"{gpus} {gpu}"))


@verb(cli, "align", "headrace align sft --model model/export --data pairs.jsonl --output sft")
@click.argument("stage", type=click.Choice([*STAGES, "dpo", "grpo"]))
@click.option("--model", type=MODEL, metavar="URI|ALIAS", help="Export to start from.")
@click.option("--data", type=PLACE, metavar="URI", help="JSONL or Parquet.")
@click.option("--output", type=PLACE, metavar="URI", help="Run folder; the same one resumes.")
@click.option("--reward", type=PLACE, metavar="URI", help="Export of the reward stage (ppo, grpo).")
def align(
    call: Call,
    stage: str,
    model: str | None,
    data: str | None,
    output: str | None,
    reward: str | None,
) -> Answer:
    """One stage of alignment: sft, reward or ppo.

    Data: sft `prompt, response`; reward `prompt, chosen, rejected`; ppo `prompt`.
    """
    if stage in ("dpo", "grpo"):
        return not_built(f"align {stage}", f"stages there are: {', '.join(STAGES)}")
    for name, value in (("--model", model), ("--data", data), ("--output", output)):
        if not value:
            raise UsageError(f"align {stage} lacks {name}", f"give {name} URI")
    if STAGES[stage].needs_reward and not reward:
        raise UsageError(
            f"align {stage} lacks --reward", "give the export of `headrace align reward`"
        )
    from headrace.tasks.configuration.settings import AlignVerb

    settings, place = call.settings(AlignVerb), _output(str(output))
    _there(str(data))
    from headrace.tasks.input_checks import check_model

    for export in filter(None, (model, reward)):
        check_model(export, settings)
    start_prefect()
    from headrace.flows.align import align_stage
    from headrace.flows.summaries import model_line
    from headrace.tasks.answers import model_answer
    from headrace.tasks.models.training import align_job

    job = align_job(stage, settings, str(model), str(data), place, reward)
    made = align_stage(stage, job)
    return Answer(model_answer(made), model_line(made))


@verb(cli, "generate", 'headrace generate --model champion --prompt "The court"')
@click.option("--model", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--prompt", required=True, type=TEXT, metavar="TEXT")
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 5), default=0.8, show_default=True)
def generate(call: Call, model: str, prompt: str, max_tokens: int, temperature: float) -> Answer:
    """Answer a prompt by an aligned model, or continue it by a pretrained one."""
    from headrace.infra.configuration.settings import Shared

    shared = call.settings(Shared)
    from headrace.tasks.input_checks import check_model

    check_model(model, shared)
    from headrace.tasks.models.training import generate_text

    text = generate_text(model, prompt, max_tokens, temperature, shared)
    return Answer({"model": model, "prompt": prompt, "text": text}, text)


@verb(cli, "evaluate", "headrace evaluate --model champion --suite heldout.jsonl")
@click.option("--model", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--suite", type=SUITE, metavar="NAME|FILE",
              help="JSONL with `text`, and `lang` and `domain` for figures by language and domain; "
              "default: held-out records of its corpus.")  # fmt: skip
def evaluate(call: Call, model: str, suite: str | None) -> Answer:
    """Metrics with confidence intervals, by domain and language."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.tasks.input_checks import check_model, check_suite

    check_suite(suite)
    check_model(model, settings)
    start_prefect()
    from headrace.flows.evaluate import evaluate as flow
    from headrace.flows.summaries import metrics_screen
    from headrace.tasks.answers import evaluation_answer

    evaluation = flow(model, suite, settings)
    return Answer(evaluation_answer(evaluation), metrics_screen(evaluation))


@verb(cli, "gate", "headrace gate --champion champion --challenger runs/x/export --policy p.yaml")
@click.option("--champion", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--challenger", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--policy", type=PLACE, metavar="FILE", help="Default: the policy `default`.")
def gate(call: Call, champion: str, challenger: str, policy: str | None) -> Answer:
    """Hold a challenger against a champion; nothing is moved."""
    from headrace.tasks.configuration.settings import GateVerb

    settings = call.settings(GateVerb, **({"policy": policy} if policy else {}))
    from headrace.tasks.input_checks import check_model, check_policy

    check_policy(settings.policy)
    for export in (challenger, champion):
        check_model(export, settings)
    start_prefect()
    from headrace.flows.gate import gate as flow
    from headrace.flows.summaries import gate_screen
    from headrace.tasks.answers import gate_answer
    from headrace.tasks.gate.contests import Exports

    gated = flow(Exports(champion, challenger, settings), settings)
    return Answer(gate_answer(gated), gate_screen(gated.decision), 0 if gated.promoted else 5)


@verb(cli, "monitor", "headrace monitor --window news-of-may.jsonl")
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
    from headrace.tasks.configuration.settings import MonitorVerb

    settings, against = call.settings(MonitorVerb), _there(reference) if reference else None
    text = _there(window) if window else None
    from headrace.tasks.input_checks import check_reference
    from headrace.tasks.retraining.inbox import check_inbox

    if inbox:
        check_inbox(_uri(inbox))
    check_reference(reference, settings)
    start_prefect()
    from headrace.flows import monitor as flows
    from headrace.flows.summaries import drift_screen
    from headrace.tasks.retraining.alerts import send_outbox, with_reasons

    send_outbox()
    if text:
        (finding,) = with_reasons([flows.monitor(against, text, settings)])
        code = 6 if exit_code and finding.drift else 0
        return Answer(finding.as_json(), drift_screen([finding]), code)
    watched = flows.monitor_inbox(against, _uri(str(inbox)), settings)
    watched = replace(watched, findings=with_reasons(watched.findings))
    code = 6 if exit_code and watched.standing.drift else 0
    return Answer(watched.as_json(), drift_screen(watched.findings, watched.waits), code)


@verb(cli, "retrain", "headrace retrain --window news-of-may.jsonl")
@click.option("--window", required=True, type=PLACE, metavar="URI", help="Release or raw text.")
@click.option("--force", is_flag=True, help="Skip the drift test.")
def retrain(call: Call, window: str, force: bool) -> Answer:
    """Teach the champion a window: monitor, curate, EWC, gate, promote or refuse."""
    from headrace.tasks.configuration.settings import RetrainVerb

    settings = call.settings(RetrainVerb)
    uri = _there(window)
    from headrace.tasks.input_checks import check_model, check_policy

    check_policy(settings.gate.policy)
    check_model("champion", settings)
    start_prefect()
    from headrace.flows.retrain import RetrainJob
    from headrace.flows.retrain import retrain as flow
    from headrace.flows.summaries import round_screen
    from headrace.tasks.retraining.window import Window

    job = RetrainJob(window=Window.of(uri), force=force, settings=settings)
    made = flow(job)
    promoted = made.gated is None or made.gated.promoted
    return Answer(made.as_json(), round_screen(made), 0 if promoted else 5)


@verb(cli, "up", "headrace up --set ports.prefect=4300")
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
    from headrace.tasks.configuration.settings import UpVerb, component

    for given in parse_sets(call.sets):
        database.refuse_password(given.data.get("database"))
    sources, profile = call.given(UpVerb), profile_settings(call.profile)
    given_names = {name for source in sources for name in source.data}
    kept = kept_settings.read(without_stack=reset)
    if adopt:
        database.adopt(home())
    usual = {str(name): port for name, port in kept_settings.of_up(kept, profile).ports.items()}
    made = kept_settings.of_up(kept, profile, sources)
    settings = component(made, stack.StackSettings)
    asked = layered(UpVerb, sources).ports
    from headrace.flows.summaries import stack_screen
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


@verb(cli, "env", 'eval "$(headrace env)"', reads=True)
def env(call: Call) -> Answer:
    """Print the variables by which Prefect's, MLflow's and Spark's own clients reach what is used.

    They hold passwords: of `headrace up`'s servers, or of those that the environment names.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    data = found_servers().environment()
    return Answer(data, "\n".join(f"export {k}={shlex.quote(v)}" for k, v in sorted(data.items())))


@verb(cli, "down", "headrace down", reads=True)
def down(call: Call) -> Answer:
    """Stop the local stack; a flow that runs resumes where it was once the stack is up again."""
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    stopped = stack.down(home())
    text = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
    return Answer({"stopped": stopped}, text)


@verb(cli, "deploy", "headrace deploy --set inbox=s3://corpus/incoming")
@click.option("--reset", is_flag=True, help="Forget the settings of earlier calls first.")
def deploy(call: Call, reset: bool) -> Answer:
    """Register deployments, schedules and automations with the Prefect server.

    It is that of `headrace up`, or another's that PREFECT_API_URL names.

    Settings are kept: deploying again changes only what it is given, and shows each change.
    """
    from headrace.tasks.configuration.settings import DeployVerb

    given = call.given(DeployVerb)
    source = click.get_current_context().get_parameter_source("profile")
    profile = call.profile if source is ParameterSource.COMMANDLINE else None
    mlflow = join_prefect().mlflow
    from headrace.flows.deployments import deploy as register
    from headrace.flows.summaries import deployments_screen
    from headrace.infra.registry import kept_registry

    made = register(given, profile, reset)
    if not mlflow.own:
        kept_registry.note(home(), mlflow.url, own=False)
    return Answer(made.as_json(), deployments_screen(made))


@verb(cli, "alert", "headrace alert --window news-of-may.jsonl")
@click.option("--window", required=True, type=PLACE, metavar="URI", help="The text that drifted.")
def alert(call: Call, window: str) -> Answer:
    """Emit the drift event for an alert that another monitor raised; it starts a retraining."""
    from headrace.infra.configuration.settings import Shared

    settings, uri = call.settings(Shared), _there(window)
    from headrace.tasks.retraining.alert import Alert
    from headrace.tasks.retraining.alerts import raise_alert

    receipt = raise_alert(Alert(window=uri), settings)
    from headrace.flows.summaries import waits_in

    state = "sent" if receipt.sent else waits_in(str(receipt.outbox), receipt.why)
    return Answer(asdict(receipt), visible(f"alert for {receipt.window}: {state}"))


@verb(cli, "receive", "headrace receive --port 9098")
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


@verb(cli, "status", "headrace status", reads=True)
@click.option("--textfile", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write it for Prometheus' textfile collector too, as headrace.prom."
              )  # fmt: skip
def status(call: Call, textfile: Path | None) -> Answer:
    """Champion, what waits for a decision, last window, what runs and comes next, disk.

    Under --json also the runs that alerts made, as `alert_runs`.
    """
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.summaries import status_screen

    if textfile is not None:
        from headrace.tasks.operations.prometheus import write_textfile

        found = write_textfile(textfile, settings)
    else:
        from headrace.tasks.operations.status import status as look

        found = look(settings)
    return Answer(found.as_json(), status_screen(found))


@verb(cli, "decide", 'headrace decide --version 3 --refuse --by "A. Lead" --why "too curt"')
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
    from headrace.flows.summaries import decision_screen
    from headrace.tasks.gate.decisions import decide_version

    made = decide_version(version, promote, by, why, settings, stale)
    return Answer(made.as_json(), decision_screen(made))


@verb(cli, "rollback", 'headrace rollback --by "A. Lead" --why "slower"')
@click.option("--by", required=True, type=TEXT, metavar="NAME", help="Who decides.")
@click.option("--why", required=True, type=TEXT, metavar="TEXT", help="The reason, for the record.")
def rollback(call: Call, by: str, why: str) -> Answer:
    """Back to the champion before; a second rollback goes one further back."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.flows.summaries import decision_screen
    from headrace.tasks.gate.decisions import roll_back

    made = roll_back(by, why, settings)
    return Answer(made.as_json(), decision_screen(made))


@verb(cli, "gc", "headrace gc --keep 3 --dry-run")
@click.option("--keep", type=click.IntRange(0), required=True, metavar="N",
              help="How many of the newest releases, and of the newest runs, stay though nothing "
              "refers to them.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only list them.")
def gc(call: Call, keep: int, dry_run: bool) -> Answer:
    """List, then remove releases, runs and tokens that no model version refers to, and what is old.

    What a version was made of stays, and so does all of the chain that led to it. Nothing is
    removed while another command or a flow is at work in the state folder (exit 2); an interrupted
    chain that is to be resumed counts as unreferenced, so keep enough of the newest, or finish it
    first. Nothing outside the state folder is touched; links are not followed.

    Old is what `retention` says (days): checkpoints of finished stages, what failed curations left,
    Spark's event logs, damaged files, Prefect's runs and events.
    """
    from headrace.tasks.configuration.settings import GcVerb

    settings = call.settings(GcVerb)
    from headrace.flows.summaries import litter_screen
    from headrace.tasks.operations.garbage import collect

    made = collect(keep, dry_run, settings.retention)
    return Answer(asdict(made), litter_screen(made))


@verb(cli, "backup", "headrace backup /mnt/backups", reads=True)
@click.argument("target", type=click.Path(path_type=Path))
def backup(call: Call, target: Path) -> Answer:
    """Copy the state folder to TARGET/TIME, while everything runs; what is there is linked.

    Passwords, logs and unfinished curations are not copied; nor is the key of the audit file, which
    lies outside the state folder.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries import backup_screen
    from headrace.tasks.operations.backup import make

    made = make(target.absolute())
    return Answer(asdict(made), backup_screen(made))


@verb(cli, "restore", "headrace restore /mnt/backups", reads=True)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only hold every file of the backup against its hash.")
def restore(call: Call, source: Path, check: bool) -> Answer:
    """Make a state folder of a backup, or of the newest one in a folder of backups.

    HEADRACE_HOME names the folder, which must be empty or not be there; it appears whole or not at
    all.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries import restore_screen
    from headrace.tasks.operations import restore as work

    place = source.absolute()
    made = work.check(place) if check else work.restore(place)
    return Answer(asdict(made), restore_screen(made))


@verb(cli, "audit", "headrace audit verify", reads=True)
@click.argument("action", type=click.Choice(["verify", "show"]))
def audit(call: Call, action: str) -> Answer:
    """Check the chain of recorded decisions, or show them; exit 4 on any edit, gap or reorder."""
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries import audit_screen, decisions_screen
    from headrace.tasks.gate.decisions import recorded_decisions, verify_decisions

    if action == "show":
        recorded = recorded_decisions()
        return Answer(recorded.as_json(), decisions_screen(recorded.lines))
    verified = verify_decisions()
    return Answer(verified.model_dump(mode="json"), audit_screen(verified))


@verb(cli, "settings", "headrace settings curate", reads=True)
@click.argument("name", metavar="[VERB]", required=False, shell_complete=_verbs)
def settings_(call: Call, name: str | None) -> Answer:
    """List every setting with its effective default and meaning, all of them or those of a verb.

    Effective is what applies with --config, --set and --profile; for `deploy` and `up` also what
    they keep.
    """
    from headrace.infra.configuration.settings import Shared
    from headrace.tasks.configuration import kept_settings
    from headrace.tasks.configuration.listed_settings import check_verb, listed

    check_verb(name, list(cli.commands))

    def effective(verb: str, model: type[Shared]) -> Shared:
        given = call.given(model) if verb == (name or "run") else []
        base = [Config("the profile", laid({}, profile_settings(call.profile), model))]
        if verb == "up":
            return kept_settings.of_up(kept_settings.read(), profile_settings(call.profile), given)
        if verb == "deploy":
            kept = kept_settings.read()
            base = [Config("the profile", profile_settings(kept.profile or call.profile))]
            base += [kept_settings.BASE_CONFIG, kept.settings]
        return layered(model, [*base, *given])

    rows = listed(name, effective)
    from headrace.flows.summaries import settings_screen

    data = {"verb": name, "settings": [asdict(row) for row in rows]}
    return Answer(data, settings_screen(rows, name))


@verb(cli, "completion", 'eval "$(headrace completion bash)"', reads=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(call: Call, shell: str) -> Answer:
    """Print what makes a shell complete verbs, options and the keys of --set.

    Put the line of the example into ~/.bashrc or ~/.zshrc; for fish pipe it into `source`.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell}", "there is one for bash, zsh and fish")
    script = kind(cli, {}, "headrace", COMPLETE).source()
    return Answer({"shell": shell, "script": script}, script)


@verb(cli, "doctor", "headrace doctor")
def doctor(call: Call) -> Answer:
    """Check what headrace needs, and say how to fix it."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.infra.doctor import examine

    found = examine(home(), settings)
    lines = [visible(f"{'ok  ' if c.ok else 'FAIL'} {c.name}: {c.mend}") for c in found.checks]
    return Answer(asdict(found), "\n".join(lines), 0 if found.ok else 2)


def spread(arguments: Sequence[str], option: str = "--input") -> list[str]:
    """The arguments with `option a b` as `option a option b`: what a shell makes of a glob."""
    out: list[str] = []
    following = False
    for argument in arguments:
        if argument.startswith("-"):
            following = argument == option
            out.append(argument)
        else:
            if following and out[-1] != option:
                out.append(option)
            out.append(argument)
    return out


def _stop(*_: object) -> None:
    raise Stopped


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    arguments = spread(sys.argv[1:] if argv is None else argv)
    if COMPLETE in os.environ:
        cli.main(arguments, "headrace", complete_var=COMPLETE)
    asks = not arguments or bool({"--help", "-h"} & {*arguments}) or arguments[0] == "--version"
    as_json = "--json" in arguments
    if not asks:
        # Help needs no log file, and a state folder is not made by looking at it.
        named = cli.commands.get(arguments[0])
        reads = isinstance(named, Verb) and named.reads
        if reads:
            # MLflow's client would try for minutes to reach a server that is away.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        fresh, made = not home().begun(), not home().root.exists()
        looks = fresh and (named is None or reads)
        try:
            if not looks:
                private.begin(home())
            console.open_console(Path(os.devnull) if looks else home().logs / "headrace.log")
        except (OSError, UsageError) as error:
            finish(as_json, functools.partial(_refuse_state, error))
        if fresh and not looks:
            atexit.register(_leave_nothing, home().root, made)
        signal.signal(signal.SIGTERM, _stop)
        log.info("headrace %s (HEADRACE_HOME %s)", " ".join(without_values(arguments)), home().root)
    try:
        cli.main(arguments, "headrace", standalone_mode=False)
    except click.ClickException as error:
        finish(as_json, functools.partial(_refuse_call, error))
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except Stopped:
        sys.exit(143)


def _leave_nothing(root: Path, made: bool) -> None:
    """Remove the log of a refused call if the state folder holds nothing else.

    Remove the folder too if this command has `made` it. Keep a log with the trace of an unexpected
    fault.
    """
    log = root / "logs" / "headrace.log"
    with contextlib.suppress(OSError):
        alone = os.listdir(root) == ["logs"] and os.listdir(log.parent) == [log.name]
        if alone and b"ends with 1:" not in log.read_bytes():
            log.unlink()
            log.parent.rmdir()
            if made:
                root.rmdir()


def _refuse_state(error: OSError | UsageError) -> Answer:
    """Raise what keeps the state folder from being used."""
    if isinstance(error, UsageError):
        raise error
    reason = f"the state folder {home().root} can't be used: {faults.explained(error).message}"
    hint = "set HEADRACE_HOME to a folder that you can write to"
    if (whose := other_owner(home().root)) is not None:
        raise UsageError(f"{reason}; it belongs to {whose}", f"run it as {whose}, or {hint}")
    raise UsageError(reason, hint)


def _refuse_call(error: click.ClickException) -> Answer:
    """Raise what click refuses, with the help of the verb that it refused."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "headrace"
    raise UsageError(error.format_message(), f"`{path} --help` shows how to call it")


if __name__ == "__main__":
    main()
