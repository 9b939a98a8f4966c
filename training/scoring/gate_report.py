"""The gate's decision as a page: what was decided, why, and every interval against its margin.

Improvement is drawn to the right, whichever way the metric itself runs, so that one look tells:
a bar right of the line of its margin holds, one left of it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from headrace.infra import html
from headrace.infra.artifacts import Compared, Decision, GuardResult
from headrace.infra.html import Cell
from headrace.infra.plots import as_files, color, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUMMARY = {
    "promote": "Promote: the challenger meets every rule of the policy.",
    "reject": "Reject: the challenger breaks a rule of the policy; the champion stays.",
    "inconclusive": "Inconclusive: the evidence does not suffice; the champion stays.",
}
_VERDICT = {
    "better": "better",
    "not worse": "not worse than allowed",
    "worse": "worse than allowed",
    "unknown": "can't be told",
}
_COLOR = {"better": "green", "not worse": "blue", "worse": "red", "unknown": "amber"}


def _gain(entry: Compared) -> tuple[float, float, float]:
    """Return (improvement, low, high): positive is better; of an entry with an interval."""
    assert entry.interval is not None and entry.difference is not None, "it has an interval"
    low, high = entry.interval
    if entry.direction == "lower":
        return -entry.difference, -high, -low
    return entry.difference, low, high


def _sentence(entry: Compared, confidence: float, things: str) -> str:
    """Return one comparison in words; `things` are what was compared."""
    label, n = entry.label, entry.n
    if entry.difference is None:
        return f"{label}: no figure, {entry.note or 'no evidence'}."
    figures = f"{entry.champion:.3f} to {entry.challenger:.3f}"
    if entry.interval is None:
        return (
            f"{label}: {figures} over {n:,} {things}, "
            f"which are too few for an interval: {_VERDICT[entry.verdict]}."
        )
    gain, low, high = _gain(entry)
    unit = f" {entry.unit}" if entry.unit else ""
    if low > 0 or high < 0:
        way = f"{'improves' if gain > 0 else 'loses'} by {abs(gain):.3f}{unit}"
    else:
        way = f"is unchanged within noise, at {gain:+.3f}{unit}"
    asked = (
        f"wants an improvement of more than {entry.margin:.3g}"
        if entry.require == "better"
        else f"allows a loss of {entry.margin:.3g}"
    )
    by = "the whole interval" if entry.judge == "interval" else "the estimate"
    note = f" Note: {entry.note}." if entry.note else ""
    return (
        f"{label} {way} ({figures}, {entry.direction} is better); improvement with "
        f"{confidence:.0%} confidence between {low:+.3f} and {high:+.3f} over {n:,} {things} "
        f"(standard error {entry.se:.2g}). "
        f"The policy {asked}, judged by {by}: {_VERDICT[entry.verdict]}.{note} "
        f"The smallest {_difference(entry)} that an evaluation like this one shows in four cases "
        f"of five is {entry.power:.2g}{unit}."
    )


def _difference(entry: Compared) -> str:
    """Return which kind of difference the rule asks about."""
    return "improvement" if entry.require == "better" else "loss"


@dataclass(frozen=True)
class MetricView:
    """What the page shows of one metric."""

    label: str
    unit: str
    gain: float | None
    """Improvement; None without an interval."""
    verdict: str
    sentence: str
    tone: str
    """'good', 'bad' or neither."""
    rival: str
    """What the challenger was compared with: `champion`, or another model."""
    things: str
    """What was compared: documents or prompts."""
    margin: float
    """The improvement that the policy asks for; negative: a loss that it allows."""
    rows: list[tuple[Cell, ...]]
    """All and each slice: name, n, rival, challenger, improvement, from, to, p."""
    plot: Markup | None
    """None where nothing has an interval."""


@dataclass(frozen=True)
class GateView:
    """What the template `gate.html.j2` lays out, alone or within a chain's report."""

    promoted: bool
    summary: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    metrics: list[MetricView]
    power: list[tuple[Cell, ...]]
    """Per metric: label, kind of difference, smallest one that could have been shown, unit, n."""
    guards: list[tuple[Cell, ...]]
    """Per guard: label, value, bound, verdict."""
    compared: list[tuple[Cell, ...]]
    """What was compared: name and value."""

    @classmethod
    def of(cls, decision: Decision) -> GateView:
        """Return a decision (`gate.decide`) in words, rows and plots."""
        return cls(
            promoted=decision.decision == "promote",
            summary=_SUMMARY[decision.decision],
            reasons=decision.reasons,
            notes=decision.notes,
            metrics=[_metric(name, decision) for name in decision.metrics],
            power=[
                (
                    entry.label,
                    _difference(entry),
                    "too few documents" if entry.power is None else f"{entry.power:.2g}",
                    entry.unit,
                    entry.n,
                )
                for entry in decision.metrics.values()
            ],
            guards=[_guard(name, guard) for name, guard in decision.guards.items()],
            compared=[
                ("champion", decision.champion),
                ("challenger", decision.challenger),
                ("policy", decision.policy),
                ("confidence", decision.confidence),
                ("random sign flips", decision.resamples),
                ("seed", str(decision.seed)),
                *((f"data: {k}", v) for k, v in decision.data.items()),
            ],
        )


def render(decision: Decision) -> str:
    """Return the page of a decision (`gate.decide`) as self-contained HTML."""
    title = f"Gate: {decision.decision}"
    subtitle = f"{decision.challenger} against {decision.champion}"
    return html.page("gate.html.j2", title, subtitle, gate=GateView.of(decision))


def drawings(decision: Decision) -> dict[str, str]:
    """Return {file name: SVG} of the plots of a decision."""
    return as_files((m.label, m.plot) for m in GateView.of(decision).metrics if m.plot)


def _metric(name: str, decision: Decision) -> MetricView:
    entry = decision.metrics[name]
    things = "prompts" if name == "reward" else "documents"
    against = entry.against or decision.champion
    margin = entry.margin if entry.require == "better" else -entry.margin
    slices = decision.slices.get(name, {})
    rows = [
        (label, part)
        for label, part in [("all", entry), *slices.items()]
        if part.interval is not None
    ]
    draw = partial(_draw, rows, margin, entry.unit or "the metric's unit")
    return MetricView(
        label=entry.label or name,
        unit=entry.unit or "",
        gain=None if entry.interval is None else _gain(entry)[0],
        verdict=_VERDICT[entry.verdict],
        sentence=_sentence(entry, decision.confidence, things),
        tone={"better": "good", "worse": "bad"}.get(entry.verdict, ""),
        rival="champion" if against == decision.champion else against,
        things=things,
        margin=margin,
        rows=[(label, e.n, e.champion, e.challenger, *_gain(e), _p(e.p)) for label, e in rows],
        plot=plot(draw, height=0.9 + 0.33 * len(rows)) if rows else None,
    )


def _draw(rows: Sequence[tuple[str, Compared]], margin: float, unit: str, axes: Axes) -> None:
    """Draw improvements with their intervals, one per row, and the line of the margin."""
    for at, (_, entry) in enumerate(rows):
        gain, low, high = _gain(entry)
        tone = color(_COLOR[entry.verdict])
        axes.plot([low, high], [at, at], color=tone, linewidth=3, solid_capstyle="round")
        axes.plot([gain], [at], "o", color=tone, markersize=7)
    axes.axvline(0, color=color("grey"), linewidth=1)
    axes.axvline(margin, color=color("red"), linewidth=1.2, linestyle="--")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#eef1f4")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"improvement, {unit} (right is better)", fontsize=8.5)


def _p(value: float | None) -> str:
    """Return a p-value; thousandths are as fine as the simulated samples can tell."""
    assert value is not None, "an interval comes with a p-value"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _guard(name: str, guard: GuardResult) -> tuple[Cell, ...]:
    ends = [f"at least {guard.low:g}"] if guard.low is not None else []
    ends += [f"at most {guard.high:g}"] if guard.high is not None else []
    verdict = {True: "holds", False: "broken", None: guard.note or "not measured"}
    return guard.label or name, guard.value, " and ".join(ends), verdict[guard.ok]
