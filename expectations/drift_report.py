"""The page that says what shifted, and how much, and shows it.

The verdict is stored as its figures; the page is made of them, alone or within a chain's report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from pydantic import TypeAdapter, ValidationError

from headrace.expectations import drift_tests
from headrace.expectations.columns import CATEGORIES, LENGTH, MIX, Distribution
from headrace.expectations.verdict import Comparison, DriftVerdict, TestResult
from headrace.infra import html, storage
from headrace.infra.html import Cell, toned
from headrace.infra.level_facts import Score
from headrace.infra.plots import color, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEANINGS = {
    MIX: "shares of language and domain together",
    "lang": "shares of languages",
    "domain": "shares of domains",
    LENGTH: "length of documents",
}
_IN_ORDER = {
    "position": "in the order in which they were read",
    "source": "by the source that records name",
    "day": "by day",
}


def sentence(verdict: DriftVerdict) -> str:
    """Return what a person needs to know of a verdict, in a few sentences."""
    if verdict.drift:
        return _drifted(verdict)
    nearest = verdict.nearest
    said = [_no_drift(nearest)]
    other = [c.reference for c in verdict.comparisons if c.drift]
    if other:
        said.append(f"It does differ from {' and from '.join(other)}.")
    if few := _too_few(nearest):
        said.append(few)
    return " ".join(said)


def _sizes(comparison: Comparison) -> str:
    return (
        f"{comparison.window_documents:,} documents of the window were compared with "
        f"{comparison.reference_documents:,} of {comparison.reference}"
    )


def _no_drift(comparison: Comparison) -> str:
    sizes, least = _sizes(comparison), comparison.settings
    strong = [t for t in comparison.tests if t.p_value <= least.alpha]
    if strong:
        names = ", ".join(t.name for t in strong)
        matters = f"the {least.minimum_effect:.0%} of the documents"
        if {t.name for t in strong} <= drift_tests.names("bits per byte"):
            matters = f"the {least.minimum_loss_rise:g} bits per byte"
        return (
            f"No drift: {sizes}; {names} differ beyond chance, but by less than {matters} that "
            "matter."
        )
    return f"No drift: {sizes}, and no difference is beyond chance (p = {comparison.p_value:.3g})."


def _too_few(comparison: Comparison) -> str:
    """Where the window comes in so few runs that no difference could be beyond chance."""
    if comparison.least_p <= comparison.settings.alpha:
        return ""
    return (
        f"Its documents come in {comparison.window_units} runs of neighbors, against "
        f"{comparison.reference_units} in the reference: too few to tell a shift from chance."
    )


def _drifted(verdict: DriftVerdict) -> str:
    nearest = verdict.nearest
    said = [f"Drift: {_sizes(nearest)};"]
    if set(verdict.drifted) <= drift_tests.names("bits per byte") and nearest.loss:
        said.append(
            f"the champion reads it worse, by {nearest.loss.rise:.2f} bits per byte "
            f"(p = {nearest.p_value:.2g})."
        )
    else:
        said.append(
            f"at least about {nearest.effect:.0%} of the window is unlike it "
            f"(p = {nearest.p_value:.2g})."
        )
    if len(verdict.comparisons) > 1:
        said.append("It differs from everything that the champion knows.")
    shifted = set(CATEGORIES) & set(verdict.drifted)
    moved = [_moved(d) for d in nearest.distributions if d.name in shifted]
    if moved:
        said.append("; ".join(moved) + ".")
    elif set(verdict.drifted) <= drift_tests.names("share of the window"):
        said.append("No score or share shows it: what shifted is the wording or the topic.")
    return " ".join(said)


def _moved(d: Distribution) -> str:
    """Return the category whose share moved most."""
    gaps = np.array(d.window) - np.array(d.reference)
    at = int(np.argmax(np.abs(gaps)))
    return (
        f"{d.name} {d.labels[at]} makes up {d.window[at]:.0%} of the window and "
        f"{d.reference[at]:.0%} of the reference"
    )


def render(verdict: DriftVerdict, window: str, scores: Sequence[Score] = ()) -> str:
    """Return the report as a self-contained HTML page.

    Args:
        verdict: the outcome of `drift.judge`.
        window: what the window is, for a person.
        scores: the score columns, with their titles.
    """
    title = "Drift found" if verdict.drift else "No drift"
    references = " and ".join(c.reference for c in verdict.comparisons)
    subtitle = f"{window} against {references}"
    return html.page("drift.html.j2", title, subtitle, drift=DriftView.of(verdict, scores))


def store(verdict: DriftVerdict, uri: str) -> str:
    """Write the verdict to a JSON file, for a page that is made later; return its URI."""
    storage.write_json(uri, _VERDICT.dump_python(verdict, mode="json"))
    return uri


def stored(uri: str) -> DriftVerdict | None:
    """Return the verdict of a file; None if an earlier version of headrace wrote it."""
    try:
        return _VERDICT.validate_python(storage.read_json(uri))
    except ValidationError:
        return None


_VERDICT = TypeAdapter(DriftVerdict)


@dataclass(frozen=True)
class ComparisonView:
    """What the page shows of one comparison."""

    comparison: Comparison
    tests: list[tuple[Cell, ...]]
    plots: list[tuple[str, Markup]]
    """(caption, plot)."""


@dataclass(frozen=True)
class DriftView:
    """What the template `drift.html.j2` lays out, alone or within a chain's report."""

    verdict: DriftVerdict
    sentence: str
    units: str
    """How many documents count as one."""
    summary: list[tuple[Cell, ...]]
    comparisons: list[ComparisonView]
    losses: list[tuple[Cell, ...]]

    @classmethod
    def of(cls, verdict: DriftVerdict, scores: Sequence[Score] = ()) -> DriftView:
        """Return the verdict in words, rows and plots; `scores`: columns that levels added."""
        meanings = _MEANINGS | drift_tests.titles() | {s.name: s.meaning for s in scores}
        return cls(
            verdict=verdict,
            sentence=sentence(verdict),
            units=_units(verdict.comparisons[0]),
            summary=[_summary(c) for c in verdict.comparisons],
            comparisons=[
                ComparisonView(
                    c,
                    [_row(t, meanings) for t in c.tests],
                    [(meanings.get(d.name, d.name), _plot(d)) for d in c.distributions],
                )
                for c in verdict.comparisons
            ],
            losses=[
                (
                    c.reference,
                    s.name,
                    s.window_documents,
                    s.heldout_documents,
                    s.window,
                    s.heldout,
                )
                for c in verdict.comparisons
                if c.loss
                for s in c.loss.strata
            ],
        )


def _units(comparison: Comparison) -> str:
    if comparison.window_run == 1.0:
        return "Documents count one by one: neighbors are no more alike than documents far apart."
    few = _too_few(comparison)
    return (
        f"Taken {_IN_ORDER[comparison.order]}, about {comparison.window_run:.0f} documents in a "
        f"row are alike: they count as {comparison.window_units} runs." + (f" {few}" * bool(few))
    )


def _mark(drifted: bool) -> Markup:
    return toned("drifted", "bad") if drifted else toned("no", "muted")


def _summary(c: Comparison) -> tuple[Cell, ...]:
    rise = c.loss.rise if c.loss else None
    documents = f"{c.reference_documents:,}"
    drifted = ", ".join(c.drifted)
    return c.reference, documents, c.p_value, c.effect, rise, drifted, _mark(c.drift)


def _row(test: TestResult, meanings: Mapping[str, str]) -> tuple[Cell, ...]:
    return test.name, meanings.get(test.name, ""), test.p_value, test.effect, _mark(test.drifted)


def _plot(d: Distribution) -> Markup:
    draw = _draw_shares if d.name in (*CATEGORIES, MIX) else _draw_numbers
    return plot(partial(draw, d))


def _draw_numbers(d: Distribution, axes: Axes) -> None:
    edges = np.array([float(x) for x in d.labels])
    edges = np.append(edges, edges[-1] + edges[1] - edges[0])
    for name, values, tone in (("reference", d.reference, "blue"), ("window", d.window, "amber")):
        axes.stairs(values, edges, fill=True, alpha=0.45, color=color(tone), label=name)
    if d.name == LENGTH:
        axes.set_xlabel("bytes of a document, log10")
    else:
        # Nearly all scores lie at one end: what is rare would not be seen beside it.
        axes.set_xlabel(d.name)
        axes.set_yscale("symlog", linthresh=0.01)
    _finish(axes)


def _draw_shares(d: Distribution, axes: Axes) -> None:
    at = np.arange(len(d.labels))
    axes.bar(at - 0.2, d.reference, 0.4, color=color("blue"), label="reference")
    axes.bar(at + 0.2, d.window, 0.4, color=color("amber"), label="window")
    many = len(at) > 6
    axes.set_xticks(at, d.labels, rotation=30 if many else 0, ha="right" if many else "center")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.set_ylabel("share of documents")
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
