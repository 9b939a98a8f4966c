"""The flows that deployments run: the chain's own, with forms, pages and notices around them.

Each takes parameters that Prefect shows as a form, runs the flow of the same name in this very run,
and ends in a state that says what came of it: Refused is a finished run, not a failed one. Settings
come in three layers: what `headrace deploy` keeps, the deployment's parameters, the run's own.
"""

from __future__ import annotations

import time
from typing import Any, TypedDict, TypeVar
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flows import FlowStateHook
from prefect.runtime import deployment

from headrace.flows import run_states
from headrace.flows.parameters import parameters
from headrace.flows.run_states import RunState, ended
from headrace.infra import storage
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import Shared, build
from headrace.infra.net.ports import HOST
from headrace.infra.stack import record
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.settings import (
    CurateSettings,
    CurateVerb,
    MonitorVerb,
    RetrainVerb,
    RunVerb,
    component,
)
from headrace.tasks.retraining.alert import Alert

HOUR = 3600
S = TypeVar("S", bound=Shared)


class _Hooks(TypedDict):
    """What is called where a run ends badly."""

    on_failure: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]
    on_cancellation: list[FlowStateHook[..., Any]]


_REPORTED: _Hooks = {
    "on_failure": [run_states.failed],
    "on_crashed": [run_states.failed],
    "on_cancellation": [run_states.failed],
}


CURATE, MONITOR, RETRAIN, RUN, SHARED = (
    CurateVerb(),
    MonitorVerb(),
    RetrainVerb(),
    RunVerb(),
    Shared(),
)


def _whole(settings: S, name: str) -> S:
    """A run's settings laid over its deployment's, and these over what `headrace deploy` keeps.

    A run, or a deployment of a file of one's own, may give some of them only.
    """
    given = deployment.parameters.get("settings")
    if deployment.id is None or not isinstance(given, dict):
        return settings
    with get_client(sync_client=True) as client:
        own = client.read_deployment(UUID(deployment.id)).parameters.get("settings") or {}
    model = type(settings)
    kept = parameters(kept_settings.today()).flows[name]["settings"]
    assert isinstance(kept, dict), "each flow has settings"
    below = laid(kept, own, model)
    return build(model, laid(below, given, model), "settings of this run")


def _on_todays_cluster(settings: CurateVerb) -> CurateVerb:
    """The stack's own cluster, which may have moved to another port since `deploy`."""
    up = record.running(home())
    if up is None or not settings.spark.master.startswith(f"spark://{HOST}:"):
        return settings
    spark = settings.spark.model_copy(update={"master": up.spark_master})
    return settings.model_copy(update={"spark": spark})


@flow(name="curate", flow_run_name="curate", timeout_seconds=48 * HOUR, **_REPORTED)
def curate(
    input: list[str] | None = None,
    output: str | None = None,
    after_release: str | None = None,
    settings: CurateVerb = CURATE,
) -> State[Any]:
    """Raw text -> five levels -> duplicates -> release.

    Args:
        input: Files, folders or globs, also s3://; none: the text of pinned packages.
        output: Gets releases/ID and latest.json; none: the state folder.
        after_release: Deployment to start with the release, as lifecycle/on-demand; none: none.
            The same release starts it once.
        settings: As `headrace curate` takes them by --config and --set.
    """
    from headrace.flows.curate import curate as chain
    from headrace.tasks.corpus.curation import release_of
    from headrace.tasks.lifecycle import chain_sources
    from headrace.tasks.operations.following import start_once
    from headrace.tasks.reporting import run_artifacts

    began, settings = time.time(), _whole(settings, "curate")
    with run_artifacts.live():
        sources, _, folder = chain_sources(tuple(input or ()), None)
        chosen, shared = component(settings, CurateSettings), _on_todays_cluster(settings)
        release = chain.fn(release_of(sources, output or folder, chosen, shared))
        run_artifacts.rename(f"curate-{release.id[:12]}")
        run_artifacts.show_ledger(release)
        links: dict[str, str | None] = {"report": release.report}
        then = ""
        if after_release and release.totals.kept:
            run = start_once(after_release, release)
            links["after_release"] = run_states.page_of(run.id)
            then = f"; {after_release} runs on it: {run.name}"
        run_artifacts.show_links(links)
    name = release.id[:12]
    if run_artifacts.older(release.path, began):
        return ended(RunState.CACHED, f"release {name} was there already: nothing was read{then}")
    kept = f"{release.totals.kept} of {release.totals.read} kept"
    return ended(RunState.COMPLETED, f"release {name}: {kept}{then}")


@flow(name="monitor", flow_run_name="monitor", timeout_seconds=2 * HOUR, **_REPORTED)
def monitor(
    inbox: str | None = None,
    window: str | None = None,
    reference: str | None = None,
    settings: MonitorVerb = MONITOR,
) -> State[Any]:
    """Inbox or window -> drift verdict -> event.

    Args:
        inbox: Folder or s3:// prefix whose new files form windows; none: `inbox` in the state
            folder.
        window: One window instead of an inbox.
        reference: Release or raw text to compare with; none: the champion's corpus.
        settings: As `headrace monitor` takes them by --config and --set.
    """
    from headrace.flows.monitor import monitor as judge
    from headrace.flows.monitor import monitor_inbox
    from headrace.tasks.reporting import run_artifacts
    from headrace.tasks.retraining import alerts

    waits, settings = "", _whole(settings, "monitor")
    with run_artifacts.live():
        alerts.send_outbox()
        if window:
            findings = [judge.fn(reference, window, settings).of(window=window)]
        else:
            place = storage.display(inbox or str(home().inbox))
            watched = monitor_inbox.fn(reference, place, settings)
            findings, waits = list(watched.findings), "; ".join(dict.fromkeys(watched.waits))
        run_artifacts.show_verdicts(findings)
    bad = [f for f in findings if f.drift is None]
    for finding in bad:
        run_states.report(
            settings, "monitor", RunState.UNREADABLE, str(finding.why), run_states.again()
        )
    if waits and not findings:
        return ended(RunState.WAITS, waits)
    if not findings:
        return ended(RunState.CACHED, "no new window: nothing was compared")
    drifted = [f for f in findings if f.drift]
    if drifted:
        shifted = ", ".join(dict.fromkeys(name for f in drifted for name in f.drifted))
        return ended(RunState.DRIFT, f"{len(drifted)} of {len(findings)} windows: {shifted}")
    if bad:
        return ended(RunState.UNREADABLE, str(bad[-1].why))
    return ended(RunState.NO_DRIFT, f"{len(findings)} windows compared")


@flow(name="retrain", flow_run_name="retrain", timeout_seconds=48 * HOUR, **_REPORTED)
def retrain(
    window: str | None = None,
    force: bool = False,
    alert: Alert | None = None,
    settings: RetrainVerb = RETRAIN,
) -> State[Any]:
    """Drift -> curate window -> EWC -> gate -> promote or refuse.

    Args:
        window: Release or raw text; none: what the windows of the inboxes hold that the champion
            doesn't know yet.
        force: Skip the drift test.
        alert: The drift event's payload: the alert is trusted as `force` is.
        settings: As `headrace retrain` takes them by --config and --set.
    """
    from headrace.flows import retrain_triggers
    from headrace.tasks.reporting import run_artifacts

    settings = _whole(settings, "retrain")
    with run_artifacts.live():
        if alert is not None:
            return retrain_triggers.on_alert(alert, settings)
        return retrain_triggers.on_window(window, force, settings)


@flow(name="evaluate", flow_run_name="evaluate-{model}", timeout_seconds=12 * HOUR, **_REPORTED)
def evaluate(
    model: str = "champion", suite: str | None = None, settings: Shared = SHARED
) -> State[Any]:
    """Model -> metrics.

    Args:
        model: Export folder, or an alias: champion, challenger.
        suite: JSONL with `text`, `lang`, `domain`; none: the held-out records of its corpus.
        settings: As `headrace evaluate` takes them by --config and --set.
    """
    from headrace.flows.evaluate import evaluate as chain
    from headrace.tasks.reporting import run_artifacts

    began, settings = time.time(), _whole(settings, "evaluate")
    with run_artifacts.live():
        evaluation = chain.fn(model, suite, settings)
        run_artifacts.show_metrics(evaluation)
    value = evaluation.bits.value
    bits = "no finite number of" if value is None else f"{value:.3f}"
    if run_artifacts.older(evaluation.path, began):
        return ended(RunState.CACHED, f"measured before: {bits} bits per byte")
    return ended(RunState.COMPLETED, f"{bits} bits per byte")


@flow(name="lifecycle", flow_run_name="lifecycle", timeout_seconds=30 * 24 * HOUR, **_REPORTED)
def lifecycle(
    input: list[str] | None = None,
    release: str | None = None,
    window: str | None = None,
    settings: RunVerb = RUN,
) -> State[Any]:
    """All of the chain: text or a release in, a gated model out, and a round through drift.

    Args:
        input: Files, folders or globs, also s3://; none: the text of pinned packages.
        release: Finished release to start from in place of text: its folder, its output folder (the
            newest), or its id.
        window: Raw text for the drift round; none: the packages', or no round with own input or
            release.
        settings: As `headrace run` takes them by --config and --set.
    """
    from headrace.flows.lifecycle import LifecycleJob
    from headrace.flows.lifecycle import lifecycle as chain
    from headrace.tasks.reporting import run_artifacts

    began, settings = time.time(), _whole(settings, "lifecycle")
    with run_artifacts.live():
        inputs = tuple(input or ())
        job = LifecycleJob(inputs=inputs, release=release, window=window, settings=settings)
        made = chain.fn(job)
        first = made.first
        run_artifacts.rename(f"lifecycle-{made.release.id[:12]}")
        run_artifacts.show_ledger(made.release)
        run_artifacts.show_gate(first)
        run_artifacts.show_links({"report": made.report})
    for gated in (first, made.again.gated if made.again else None):
        if gated:
            run_states.report_gate(settings, "lifecycle", gated)
    reason = "; ".join(first.reasons)
    if first.overtaken:
        return ended(RunState.OVERTAKEN, reason)
    if not first.promoted:
        return ended(RunState.REFUSED, reason)
    if first.waiting:
        return ended(RunState.WAITING, f"version {first.version} waits for a person")
    if run_artifacts.older(made.report, began):
        return ended(RunState.CACHED, f"all was there already: {made.report}")
    return ended(RunState.COMPLETED, reason)
