"""Runs suites of Great Expectations over frames, and says in sentences what does not hold.

The context is ephemeral and nothing is sent anywhere. Great Expectations' own site loads styles
and scripts from elsewhere and stamps times into its pages, so the data docs are made here from
its results: self-contained, escaped, and the same bytes for the same release.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.infra import html, storage

SHOWN = 3
"""Values that a sentence quotes at most."""


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite."""

    type: str
    """Name as Great Expectations has it: expect_…"""
    says: str
    """What must hold, for a person."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Expectations on one frame."""

    name: str
    frame: Any
    """pandas DataFrame."""
    expectations: tuple[Expectation, ...]
    key: str | None = None
    """Column that names a row in what is reported."""


@dataclass(frozen=True)
class Held:
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
    held: tuple[Held, ...]

    @property
    def evaluated(self) -> int:
        """How many expectations were looked at."""
        return len(self.held)


def run(suites: Sequence[Suite]) -> ValidationResult:
    """All suites evaluated; nothing is written."""
    held: list[Held] = []
    frames = [s for s in suites if len(s.frame) and s.expectations]
    if frames:
        context = _context()
        source = context.data_sources.add_pandas("frames")
        for suite in frames:
            held += _evaluate(context, source, suite)
    failed = [
        f"{h.suite}: {h.says}" + (f" ({h.column})" if h.column else "") + f": {h.observed}"
        for h in held
        if not h.success
    ]
    return ValidationResult(not failed, failed, tuple(held))


def _context() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _evaluate(context: Any, source: Any, suite: Suite) -> list[Held]:
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
    form: dict[str, Any] = {"result_format": "COMPLETE"}
    if suite.key:
        form["unexpected_index_column_names"] = [suite.key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = definition.run(
            batch_parameters={"dataframe": suite.frame}, result_format=form
        ).to_json_dict()
    out = sorted(result["results"], key=lambda r: r["expectation_config"]["meta"]["order"])
    return [_held(suite, r) for r in out]


def _held(suite: Suite, result: Mapping[str, Any]) -> Held:
    config = result["expectation_config"]
    kwargs = config["kwargs"]
    column = kwargs.get("column") or " and ".join(
        kwargs[k] for k in ("column_A", "column_B") if k in kwargs
    )
    return Held(
        suite.name,
        config["meta"]["says"],
        config["type"],
        column,
        bool(result["success"]),
        _observed(suite, result),
    )


def _observed(suite: Suite, result: Mapping[str, Any]) -> str:
    """What was seen, in a few words."""
    raised = result.get("exception_info") or {}
    for info in [raised, *[v for v in raised.values() if isinstance(v, Mapping)]]:
        if info.get("raised_exception"):
            lines = str(info.get("exception_message") or "").splitlines()
            return f"could not be evaluated: {lines[0] if lines else 'no message'}"
    seen = result.get("result") or {}
    if "unexpected_count" not in seen:
        return f"observed {_short(seen.get('observed_value'))}"
    count, total = seen["unexpected_count"], seen.get("element_count")
    if not count:
        return f"all {total:,}"
    rows = seen.get("unexpected_index_list") or []
    values = seen.get("partial_unexpected_list") or []
    quoted = [_row(suite, row) for row in rows[:SHOWN] if isinstance(row, Mapping)]
    if not any(quoted):
        quoted = [_short(v) for v in values[:SHOWN]]
    return f"{count:,} of {total:,} do not, such as {'; '.join(quoted)}"


def _row(suite: Suite, row: Mapping[str, Any]) -> str:
    """A row that does not hold: what names it first, then the values that were judged."""
    names = sorted(row, key=lambda name: (name != suite.key, name))
    return ", ".join(f"{name} {_short(row[name])}" for name in names)


def _short(value: Any) -> str:
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
            "results": [vars(h) for h in result.held],
        },
    )


def docs(result: ValidationResult, title: str) -> str:
    """The data docs of a validation: one page of HTML."""
    suites = {
        suite: [
            (
                html.toned("holds", "good") if h.success else html.toned("fails", "bad"),
                h.says,
                h.column,
                h.observed,
                h.type,
            )
            for h in result.held
            if h.suite == suite
        ]
        for suite in dict.fromkeys(h.suite for h in result.held)
    }
    verdict = "all hold" if result.success else f"{len(result.failed)} fail"
    subtitle = f"{title}: {verdict}"
    return html.page("validation.html.j2", "Validation", subtitle, result=result, suites=suites)
