"""How flow runs end: in a state that says what came of it, reported by webhook where it is bad."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.states import Completed
from pydantic import BaseModel, ValidationError

from headrace.infra import faults
from headrace.infra.configuration.settings import NotifySettings, Shared
from headrace.infra.net import servers
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.reporting.webhooks import notify


class RunState(StrEnum):
    """How a run ends that isn't failed, as Prefect shows it."""

    COMPLETED = "Completed"
    CACHED = "Cached"
    """There was nothing to do."""
    DRIFT = "Drift"
    NO_DRIFT = "NoDrift"
    UNREADABLE = "Unreadable"
    """A window that no one can read."""
    WAITS = "Waits"
    """Files of an inbox wait for more text."""
    REFUSED = "Refused"
    OVERTAKEN = "Overtaken"
    """Another champion came in meanwhile."""
    WAITING = "Waiting"
    """A new version waits for a person."""
    DECIDED = "Decided"
    """A person had decided on the version before."""
    PROMOTED = "Promoted"
    DEFERRED = "Later"
    """The alert waits for a cool-down or a budget."""


def failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Report a deployed run that failed, crashed or was cancelled.

    A command reports by itself, and a flow within another through that one.
    """
    if flow_run.deployment_id is None:
        return
    name = state.name or state.type.value
    settings = flow_run.parameters.get("settings")
    report_end(flow.name, str(flow_run.id), settings, name, _reason(state))


def report_end(flow: str, run: str, settings: object, state: str, reason: str) -> None:
    """Notify the owner of a run, not this one, that has failed, crashed or been cancelled.

    Args:
        flow: name of its flow.
        run: its id.
        settings: what it was called with: JSON, or as the flow takes them.
        state: name of its state.
        reason: one sentence.
    """
    try:
        notices = _shared(settings).notify
    except ValidationError:  # what is wrong with the run may be its parameters
        notices = NotifySettings()
    links = {"run": page_of(run), "log": str(home().logs / "flows.log")}
    notify(notices, flow, state, reason, again(run), links)


def ended(state: RunState, message: str) -> State[Any]:
    """A finished run whose state says what came of it."""
    return Completed(name=str(state), message=visible(" ".join(message.split()), 400))


def report(
    settings: Shared,
    flow: str,
    state: RunState,
    reason: str,
    command: str,
    links: dict[str, str | None] | None = None,
) -> None:
    """Notify the owner about a finished run that needs attention."""
    from prefect.runtime import flow_run

    pages = {"run": page_of(str(flow_run.id)), **(links or {})}
    notify(settings.notify, flow, str(state), reason, command, pages)


def report_gate(settings: Shared, flow: str, gated: Gated) -> None:
    """Report a promotion that was refused or overtaken, or that waits for a person."""
    reason = "; ".join(gated.reasons)
    links: dict[str, str | None] = {"gate report": gated.decision.report}
    decide = f"headrace decide --version {gated.version} --promote --by NAME --why TEXT"
    decide = f"HEADRACE_HOME={shlex.quote(str(home().root))} {decide}"
    if gated.overtaken:
        report(settings, flow, RunState.OVERTAKEN, reason, again(), links)
    elif not gated.promoted:
        report(settings, flow, RunState.REFUSED, reason, decide, links)
    elif gated.waiting:
        report(settings, flow, RunState.WAITING, f"the gate says promote: {reason}", decide, links)


def again(run: str | None = None) -> str:
    """The command that runs a run (None: this one) again; what is finished of it is reused.

    It holds no password: `headrace env` gives it to whoever may read the state folder.
    """
    from prefect.runtime import flow_run

    api = os.environ.get(servers.PREFECT, "")
    prefect, own = (
        shlex.quote(str(Path(sys.executable).with_name(n))) for n in ("prefect", "headrace")
    )
    login = f"{servers.PREFECT}={api} "
    if api in servers.own_addresses(os.environ):
        login = f'eval "$(HEADRACE_HOME={shlex.quote(str(home().root))} {own} env)"; '
    return f"{login}{prefect} flow-run retry {run or flow_run.id}"


def _shared(settings: object) -> Shared:
    """What all verbs share, of a run's settings; the defaults where there are none."""
    given = settings.model_dump() if isinstance(settings, BaseModel) else settings
    fields = given.items() if isinstance(given, dict) else ()
    return Shared.model_validate({k: v for k, v in fields if k in Shared.model_fields})


def _reason(state: State[Any]) -> str:
    """One sentence: the error's own where it is one of headrace's."""
    if state.is_crashed():
        return "the process of the run was ended"
    try:
        state.result()
    except Exception as error:
        return faults.explained(error).message
    except BaseException as error:
        return visible(str(error)) or type(error).__name__
    return state.message or "no reason is known"


def page_of(run: str) -> str | None:
    """The page of a flow run in Prefect, None where the site isn't known."""
    site = os.environ.get("PREFECT_UI_URL")
    return f"{site}/runs/flow-run/{run}" if site else None
