"""One flow for the command, for other flows and for deployments, on a real Prefect server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.utilities.callables import parameter_schema
from pydantic.json_schema import SkipJsonSchema

from headrace.flows import box as module
from headrace.flows import run_states
from headrace.flows.box import Outcome, box, deployed_run
from headrace.flows.run_states import RunState, ended
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError
from headrace.tasks.reporting import run_artifacts

pytestmark = [pytest.mark.server, pytest.mark.timeout(300), pytest.mark.usefixtures("on_server")]
DEFAULTS = Shared()


@box("boxed", hours=2 / 3600)
def boxed(
    number: int = 0,
    settings: Shared = DEFAULTS,
    job: SkipJsonSchema[list[int] | None] = None,
) -> Outcome[int]:
    """Twice a number.

    Args:
        number: Which one; none below 0.
        settings: The seed is added.
    """
    if number < 0:
        raise InputError("no number", "give one")
    time.sleep(number if number > 2 else 0)
    value = sum(job or [number]) * 2 + settings.seed - DEFAULTS.seed

    def page(began: float) -> State[Any]:
        assert began <= time.time()
        run_artifacts.show_text("decision", f"it is {value}", "The value")
        return ended(RunState.REFUSED, f"it is {value}")

    return Outcome(value, page)


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(run_states, "report_end", lambda *a: sent.append(a[-1]))
    return sent


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which runs had a page; it would take this process's standard streams."""
    opened: list[str] = []

    @contextmanager
    def live() -> Iterator[None]:
        run = deployed_run()
        assert run is not None
        opened.append(str(run.id))
        yield

    monkeypatch.setattr("headrace.tasks.reporting.run_artifacts.live", live)
    monkeypatch.setattr(module, "whole", lambda settings, *_: settings.model_copy(
        update={"seed": settings.seed + 100}))  # fmt: skip
    return opened


def deployed(chosen: Flow[..., Any], **parameters: Any) -> FlowRun:
    """A run of a deployment, at its end."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            flow_id=client.create_flow_from_name(chosen.name),
            name="test",
            parameter_openapi_schema=parameter_schema(chosen).model_dump_for_openapi(),
        )
        run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        run_flow(chosen, flow_run=run, parameters=parameters, return_type="state")
        return client.read_flow_run(run.id)


def artifacts(run: UUID) -> list[Any]:
    with get_client(sync_client=True) as client:
        return [a for a in client.read_artifacts() if a.flow_run_id == run]


def test_a_call_gives_the_value_and_shows_nothing(notices: list[str], pages: list[str]) -> None:
    assert boxed(2) == 4 and boxed(job=[1, 2]) == 6
    with pytest.raises(InputError, match="no number"):
        boxed(-1)
    assert boxed(3) == 6, "the time limit is a deployed run's"
    assert notices == [] and pages == []


def test_a_deployed_run_has_a_page_a_state_and_its_deployments_settings(
    notices: list[str], pages: list[str]
) -> None:
    run = deployed(boxed, number=2)
    assert run.state is not None and (run.state.name, run.state.message) == ("Refused", "it is 104")
    assert run.name == "boxed" and pages == [str(run.id)] and notices == []
    assert [a.data for a in artifacts(run.id)] == ["it is 104"]


def test_a_flow_within_a_deployed_run_gives_its_value_and_leaves_page_and_notice_to_it(
    notices: list[str], pages: list[str]
) -> None:
    @box("outer", hours=1)
    def outer(number: int = 0, settings: Shared = DEFAULTS) -> Outcome[int]:
        """Args are those of the inner one."""
        inner = boxed(number)
        return Outcome(inner, lambda _: ended(RunState.COMPLETED, f"inside {inner}"))

    run = deployed(outer, number=2)
    assert run.state is not None and run.state.message == "inside 4"
    assert pages == [str(run.id)] and artifacts(run.id) == []
    failed = deployed(outer, number=-1)
    assert failed.state is not None and failed.state.is_failed() and notices == ["no number"]


def test_a_deployed_run_that_takes_too_long_is_ended_and_reported(
    notices: list[str], pages: list[str]
) -> None:
    run = deployed(boxed, number=5)
    assert run.state is not None and run.state.name == "TimedOut"
    assert "2.0 second" in str(run.state.message) and len(notices) == 1


def test_a_call_within_a_flow_of_others_gives_the_value() -> None:
    @flow
    def other() -> int:
        return boxed(1)

    assert other() == 2
