"""A box of the diagram as one Prefect flow: for the command, for other flows and for deployments.

Called by the command or by another flow, it gives its value and shows nothing. A run of a
deployment also has settings in three layers, a page with artifacts, a time limit, notices where it
ends badly, and a state that says what came of it: Refused is a finished run, not a failed one.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.utilities.hashing import file_hash

from headrace.flows import run_states
from headrace.flows.run_settings import whole
from headrace.tasks.reporting import run_artifacts

HOUR = 3600
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a box came to."""

    value: T
    """For the command, or the flow that called it."""
    page: Callable[[float], State[Any]]
    """Fill the page of a deployed run that began at a moment (seconds since 1970); return how the
    run ends."""


def deployed_run() -> FlowRun | None:
    """Return the run of a deployment, None in one of a command and in a flow within another."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run if run is not None and run.deployment_id is not None else None


class Box(Flow[P, T]):
    """A flow whose time limit holds for the runs of deployments only."""

    @property
    def timeout_seconds(self) -> float | None:
        """Seconds after which Prefect ends the run."""
        return self._limit if deployed_run() else None

    @timeout_seconds.setter
    def timeout_seconds(self, seconds: float | None) -> None:
        self._limit = seconds


def box(
    name: str, hours: float, run_name: str | None = None
) -> Callable[[Callable[P, Outcome[T]]], Flow[P, T]]:
    """Make a flow, whose call gives the value, of a function with the parameters of its form.

    One of them is `settings`. A parameter that only other flows give is a `SkipJsonSchema`, which
    Prefect leaves out of the form.

    Args:
        name: of the flow.
        hours: time limit of a deployed run.
        run_name: template of its runs' names; None: the name.
    """

    def wrap(function: Callable[P, Outcome[T]]) -> Flow[P, T]:
        # Prefect would look for the names in annotations among those of this module.
        function.__annotations__ = get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T | State[Any]:
            deployed = deployed_run()
            if deployed is None:
                return function(*args, **kwargs).value
            began, given = time.time(), signature.bind(*args, **kwargs)
            given.apply_defaults()
            given.arguments["settings"] = whole(given.arguments["settings"], name, deployed)
            with run_artifacts.live():
                return function(*given.args, **given.kwargs).page(began)

        # Prefect hands the value of a finished state to whoever called the flow.
        valued: Callable[P, Any] = run
        return Box(
            valued,
            name=name,
            flow_run_name=run_name or name,
            version=file_hash(inspect.getfile(function)),
            timeout_seconds=hours * HOUR,
            on_failure=[run_states.failed],
            on_crashed=[run_states.failed],
            on_cancellation=[run_states.failed],
        )

    return wrap
