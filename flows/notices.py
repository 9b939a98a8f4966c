"""How flow runs end: in a state that says what came of it, and told by webhook where it is bad."""

from __future__ import annotations

import os
import shlex
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.states import Completed

from headrace.infra.errors import HeadraceError
from headrace.infra.home import home
from headrace.infra.settings import Shared
from headrace.tasks.notices import notify

_OPTIONS = ("window", "inbox", "reference", "output", "model", "suite")


def failed(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Tell of a run that failed, crashed or was cancelled."""
    notify(
        Shared.model_validate(_shared(run.parameters)).notify,
        flow.name,
        state.name or state.type.value,
        _reason(state),
        _command(flow.name, run.parameters),
        {"run": _page(str(run.id)), "log": str(home().logs / "flows.log")},
    )


def ended(name: str, message: str) -> State[Any]:
    """A finished run whose state says what came of it."""
    return Completed(name=name, message=" ".join(message.split())[:400])


def tell(
    settings: Shared,
    flow: str,
    state: str,
    reason: str,
    command: str,
    links: dict[str, str | None] | None = None,
) -> None:
    """Tell of a run that is finished, and of which somebody should know."""
    from prefect.runtime import flow_run

    at = f"HEADRACE_HOME={shlex.quote(str(home().root))} {command}"
    pages = {"run": _page(str(flow_run.id)), **(links or {})}
    notify(settings.notify, flow, state, reason, at, pages)


def _shared(parameters: dict[str, Any]) -> dict[str, Any]:
    settings = parameters.get("settings") or {}
    given = settings if isinstance(settings, dict) else settings.model_dump()
    return {k: v for k, v in given.items() if k in Shared.model_fields}


def _reason(state: State[Any]) -> str:
    """One sentence: the error's own where it is one of headrace's."""
    if state.is_crashed():
        return "the process of the run was ended"
    try:
        state.result()
    except HeadraceError as error:
        return error.message
    except BaseException as error:
        return str(error).split("\n")[0] or type(error).__name__
    return state.message or "no reason is known"


def _command(flow: str, parameters: dict[str, Any]) -> str:
    """What does the same work; what is finished of it is reused."""
    verb = "run" if flow == "lifecycle" else flow
    said = ["headrace", verb]
    given = dict(parameters)
    if alert := given.get("alert"):
        given["window"] = alert["window"] if isinstance(alert, dict) else alert.window
        said.append("--force")
    for uri in given.get("input") or ():
        said += ["--input", str(uri)]
    for name in _OPTIONS:
        if given.get(name):
            said += [f"--{name}", str(given[name])]
    return f"HEADRACE_HOME={shlex.quote(str(home().root))} {shlex.join(said)}"


def _page(run: str) -> str | None:
    site = os.environ.get("PREFECT_UI_URL")
    return f"{site}/runs/flow-run/{run}" if site else None
