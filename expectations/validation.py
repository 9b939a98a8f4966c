"""Runs suites of Great Expectations over frames, and puts into sentences what doesn't hold.

The context is ephemeral and nothing is sent anywhere. Great Expectations' own site loads styles
and scripts from elsewhere and stamps times into its pages, so the data docs are made here from
its results: self-contained, escaped, and the same bytes for the same release.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from headrace.infra import html, storage

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )
    from great_expectations.datasource.fluent.pandas_datasource import PandasDatasource

Argument: TypeAlias = str | float | list[str] | list[float] | None
Value: TypeAlias = str | float | None
"""A value of a frame, as JSON has it."""
SHOWN = 3
"""Values that a sentence quotes at most."""


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite."""

    type: str
    """Name as Great Expectations has it: expect_…"""
    says: str
    """What must hold, for a person."""
    kwargs: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Expectations on one frame."""

    name: str
    frame: pd.DataFrame
    expectations: tuple[Expectation, ...]
    key: str | None = None
    """Column that names a row in what is reported."""


@dataclass(frozen=True)
class ExpectationResult:
    """How one expectation came out."""

    suite: str
    says: str
    type: str
    column: str
    success: bool
    observed: str


@dataclass(frozen=True)
class ValidationResult:
    """The outcome of a validation."""

    success: bool
    failed: list[str]
    """A sentence for each expectation that does not hold."""
    results: tuple[ExpectationResult, ...]

    @property
    def evaluated(self) -> int:
        """How many expectations were looked at."""
        return len(self.results)


def run(suites: Sequence[Suite]) -> ValidationResult:
    """Evaluate all suites; nothing is written."""
    results: list[ExpectationResult] = []
    frames = [s for s in suites if len(s.frame) and s.expectations]
    if frames:
        context = _context()
        source = context.data_sources.add_pandas("frames")
        for suite in frames:
            results += _evaluate(context, source, suite)
    failed = [
        f"{r.suite}: {r.says}" + (f" ({r.column})" if r.column else "") + f": {r.observed}"
        for r in results
        if not r.success
    ]
    return ValidationResult(not failed, failed, tuple(results))


def _context() -> EphemeralDataContext:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


class _Config(TypedDict):
    type: str
    kwargs: dict[str, str]
    meta: _Meta


class _Meta(TypedDict):
    says: str
    order: int


class _Seen(TypedDict, total=False):
    observed_value: Value
    unexpected_count: int
    element_count: int
    unexpected_index_list: list[dict[str, Value] | int] | None
    partial_unexpected_list: list[Value]


class _Evaluated(TypedDict):
    """A result of Great Expectations as JSON."""

    success: bool
    expectation_config: _Config
    exception_info: dict[str, object] | None
    """One exception, or one for each metric by its id."""
    result: _Seen | None


class _Answer(TypedDict):
    results: list[_Evaluated]


def _evaluate(
    context: EphemeralDataContext, source: PandasDatasource, suite: Suite
) -> list[ExpectationResult]:
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    data = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite.name,
            data=data,
            suite=context.suites.add(
                gx.ExpectationSuite(
                    name=suite.name,
                    expectations=[
                        ExpectationConfiguration(
                            type=e.type, kwargs=dict(e.kwargs), meta={"says": e.says, "order": i}
                        ).to_domain_obj()
                        for i, e in enumerate(suite.expectations)
                    ],
                )
            ),
        )
    )
    form: dict[str, str | list[str]] = {"result_format": "COMPLETE"}
    if suite.key:
        form["unexpected_index_column_names"] = [suite.key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = definition.run(batch_parameters={"dataframe": suite.frame}, result_format=form)
        to_json: Callable[[], _Answer] = run.to_json_dict
        results = to_json()["results"]
    results.sort(key=lambda result: result["expectation_config"]["meta"]["order"])
    return [_result(suite, result) for result in results]


def _result(suite: Suite, result: _Evaluated) -> ExpectationResult:
    config = result["expectation_config"]
    kwargs = config["kwargs"]
    column = kwargs.get("column") or " and ".join(
        kwargs[k] for k in ("column_A", "column_B") if k in kwargs
    )
    return ExpectationResult(
        suite.name,
        config["meta"]["says"],
        config["type"],
        column,
        bool(result["success"]),
        _observed(suite, result),
    )


def _observed(suite: Suite, result: _Evaluated) -> str:
    """Return what was seen, in a few words."""
    raised = result.get("exception_info") or {}
    for info in [raised, *raised.values()]:
        if isinstance(info, dict) and info.get("raised_exception"):
            lines = str(info.get("exception_message") or "").splitlines()
            return f"could not be evaluated: {lines[0] if lines else 'no message'}"
    seen = result.get("result") or {}
    if "unexpected_count" not in seen:
        return f"observed {_short(seen.get('observed_value'))}"
    count, total = seen["unexpected_count"], seen.get("element_count", 0)
    if not count:
        return f"all {total:,}"
    rows = seen.get("unexpected_index_list") or []
    values = seen.get("partial_unexpected_list") or []
    quoted = [_row(suite, row) for row in rows[:SHOWN] if isinstance(row, Mapping)]
    if not any(quoted):
        quoted = [_short(v) for v in values[:SHOWN]]
    return f"{count:,} of {total:,} do not, such as {'; '.join(quoted)}"


def _row(suite: Suite, row: Mapping[str, Value]) -> str:
    """Return a row that doesn't hold: its names first, then the values that were judged."""
    names = sorted(row, key=lambda name: (name != suite.key, name))
    return ", ".join(f"{name} {_short(row[name])}" for name in names)


def _short(value: Value) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:60] + "…"


def write(result: ValidationResult, title: str, folder: str) -> None:
    """Write `results.json` and the data docs `index.html` into a folder.

    Args:
        result: the outcome.
        title: what was validated.
        folder: URI.
    """
    storage.write_bytes(storage.join(folder, "index.html"), docs(result, title).encode())
    storage.write_json(
        storage.join(folder, "results.json"),
        {
            "success": result.success,
            "evaluated": result.evaluated,
            "failed": result.failed,
            "results": [vars(r) for r in result.results],
        },
    )


def docs(result: ValidationResult, title: str) -> str:
    """Return the data docs of a validation: one page of HTML."""
    suites = {
        suite: [
            (
                html.toned("holds", "good") if r.success else html.toned("fails", "bad"),
                r.says,
                r.column,
                r.observed,
                r.type,
            )
            for r in result.results
            if r.suite == suite
        ]
        for suite in dict.fromkeys(r.suite for r in result.results)
    }
    verdict = "all hold" if result.success else f"{len(result.failed)} fail"
    subtitle = f"{title}: {verdict}"
    return html.page("validation.html.j2", "Validation", subtitle, result=result, suites=suites)
