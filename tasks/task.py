"""Shared task wrapper: retries transient failures, never user errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from headrace.infra import faults
from headrace.infra.errors import DeadlineError, HeadraceError, ResourceError, ValidationError
from headrace.infra.state import lock
from headrace.infra.state.state_dir import home

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


class Validation(Protocol):
    """Result of a validation (expectations.validation.ValidationResult)."""

    @property
    def success(self) -> bool:
        """Whether every expectation held."""

    @property
    def failed(self) -> list[str]:
        """A sentence for each that didn't hold."""


P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Step(Protocol[P, R_co]):
    """A function as a Prefect task."""

    @property
    def fn(self) -> Callable[P, R_co]:
        """Return the function outside of Prefect, without retries."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run it as a task."""


def _is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    try:
        state.result()
    except HeadraceError as error:
        lasting = isinstance(error, DeadlineError | ResourceError)
        return error.code == HeadraceError.code and not lasting
    except Exception:
        return True
    return False


def step(name: str, retries: int = 2) -> Callable[[Callable[P, R_co]], Step[P, R_co]]:
    """Return a Prefect task of this name; its process counts as at work in the state folder.

    Its cache is storage, not Prefect: finished work is found by what decides it
    (artifacts.produce), so a second run is a no-op with or without a server that remembers.
    """

    def wrap(function: Callable[P, R_co]) -> Step[P, R_co]:
        @functools.wraps(function)
        def work(*args: P.args, **kwargs: P.kwargs) -> R_co:
            try:
                lock.work_in(home())
                return function(*args, **kwargs)
            except HeadraceError:
                raise
            except Exception as error:  # what Prefect shows of a task is this sentence
                raise faults.explained(error) from error

        made: Any = task(
            name=name,
            cache_policy=NO_CACHE,
            retries=retries,
            retry_delay_seconds=[1.0, 10.0][:retries],
            retry_jitter_factor=0.5,
            retry_condition_fn=_is_transient,
            log_prints=False,
        )(work)
        wrapped: Step[P, R_co] = made
        return wrapped

    return wrap


def refuse_failed(
    result: Validation, what: str, hint: str = "fix the input or the settings"
) -> None:
    """Raise unless a validation succeeded, with its first failure.

    Raises:
        ValidationError: an expectation on `what` failed.
    """
    if not result.success:
        more = f" (and {len(result.failed) - 1} more)" if len(result.failed) > 1 else ""
        raise ValidationError(f"{what}: {result.failed[0]}{more}", hint)


def relative(path: str | Path) -> str:
    """Return a path as it is stored: relative to the state folder where it lies inside."""
    return home().relative(Path(path))
