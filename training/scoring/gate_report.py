"""The gate's decision as a page: what was decided, why, and every interval against its margin.

Improvement is drawn to the right, whichever way the metric itself runs, so that one look tells:
a bar right of the line of its margin holds, one left of it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from headrace.infra import html

_SAID = {
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
_COLOUR = {"better": "green", "not worse": "blue", "worse": "red", "unknown": "amber"}


def _gain(entry: Mapping[str, Any]) -> tuple[float, float, float]:
    """(improvement, low, high): positive is better; of an entry with an interval."""
    low, high = entry["interval"]
    if entry["direction"] == "lower":
        return -entry["difference"], -high, -low
    return entry["difference"], low, high


def _sentence(entry: Mapping[str, Any], confidence: float, things: str) -> str:
    """One comparison in words; `things` are what was compared."""
    label, n = entry["label"], entry["n"]
    if entry["difference"] is None:
        return f"{label}: no figure, {entry.get('note', 'no evidence')}."
    if entry["interval"] is None:
        return (
            f"{label}: {entry['champion']:.3f} to {entry['challenger']:.3f} over {n:,} {things}, "
            f"which are too few for an interval: {_VERDICT[entry['verdict']]}."
        )
    gain, low, high = _gain(entry)
    unit = f" {entry['unit']}" if entry["unit"] else ""
    if low > 0 or high < 0:
        way = f"{'improves' if gain > 0 else 'loses'} by {abs(gain):.3f}{unit}"
    else:
        way = f"is unchanged within noise, at {gain:+.3f}{unit}"
    asked = (
        f"wants an improvement of more than {entry['margin']:.3g}"
        if entry["require"] == "better"
        else f"allows a loss of {entry['margin']:.3g}"
    )
    by = "the whole interval" if entry["judge"] == "interval" else "the estimate"
    note = f" Note: {entry['note']}." if "note" in entry else ""
    return (
        f"{label} {way} ({entry['champion']:.3f} to "
        f"{entry['challenger']:.3f}, {entry['direction']} is better); improvement with "
        f"{confidence:.0%} confidence between {low:+.3f} and {high:+.3f} over {n:,} {things} "
        f"(standard error {entry['se']:.2g}). "
        f"The policy {asked}, judged by {by}: {_VERDICT[entry['verdict']]}.{note} "
        f"{_could_show(entry)}"
    )


def _could_show(entry: Mapping[str, Any]) -> str:
    """The smallest difference that this evaluation could have shown."""
    what = "improvement" if entry["require"] == "better" else "loss"
    unit = f" {entry['unit']}" if entry["unit"] else ""
    return (
        f"The smallest {what} that an evaluation like this one shows in four cases of five is "
        f"{entry['power']:.2g}{unit}."
    )


def _intervals(rows: Sequence[tuple[str, Mapping[str, Any]]], margin: float | None) -> Markup:
    """A plot of improvements with their intervals, a row each, and the line of the margin."""

    def draw(axes: Any) -> None:
        for at, (_, entry) in enumerate(rows):
            gain, low, high = _gain(entry)
            tone = html.colour(_COLOUR[entry["verdict"]])
            axes.plot([low, high], [at, at], color=tone, linewidth=3, solid_capstyle="round")
            axes.plot([gain], [at], "o", color=tone, markersize=7)
        axes.axvline(0, color=html.colour("grey"), linewidth=1)
        if margin is not None:
            axes.axvline(margin, color=html.colour("red"), linewidth=1.2, linestyle="--")
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", color="#eef1f4")
        axes.grid(axis="y", visible=False)
        unit = rows[0][1].get("unit") or "the metric's unit"
        axes.set_xlabel(f"improvement, {unit} (right is better)", fontsize=8.5)

    line = "" if margin is None else f" Dashed: what the policy asks for ({margin:+.3g})."
    return html.plot(
        draw,
        f"Dot: estimate; bar: its interval; grey line: no change.{line}",
        height=0.9 + 0.33 * len(rows),
    )


def _metric(name: str, decision: Mapping[str, Any]) -> html.Section:
    entry = decision["metrics"][name]
    things = "prompts" if name == "reward" else "documents"
    against = entry["against"]
    rival = "champion" if against == decision["champion"] else against
    tone = {"better": "good", "worse": "bad"}.get(entry["verdict"], "")
    parts = [html.paragraph(_sentence(entry, decision["confidence"], things), tone)]
    if rival != "champion":
        parts.append(html.paragraph(f"Compared with {rival}, not with the champion.", "muted"))
    slices = decision["slices"].get(name, {})
    rows = [
        (label, {**entry, **part})
        for label, part in [("all", entry), *slices.items()]
        if part["interval"] is not None
    ]
    if rows:
        margin = entry["margin"] if entry["require"] == "better" else -entry["margin"]
        parts.append(_intervals(rows, margin))
        parts.append(
            html.table(
                (things, "n", rival, "challenger", "improvement", "from", "to", "p"),
                [
                    (label, e["n"], e["champion"], e["challenger"], *_gain(e), _p(e["p"]))
                    for label, e in rows
                ],
                f"p: one-sided, of an improvement of no more than {margin:+.3g}, which is what the "
                "policy asks for (paired sign flips, and a studentized mean that allows for "
                "skewness; the larger of the two).",
            )
        )
    return html.Section(entry["label"], *parts)


def _p(value: float) -> str:
    """A p-value; thousandths are as fine as the simulated samples can tell."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _guards(decision: Mapping[str, Any]) -> list[html.Section]:
    if not decision["guards"]:
        return []
    rows = []
    for name, g in decision["guards"].items():
        ends = [f"at least {g['low']:g}"] if g["low"] is not None else []
        ends += [f"at most {g['high']:g}"] if g["high"] is not None else []
        said = {True: "holds", False: "broken", None: g.get("note", "not measured")}[g["ok"]]
        rows.append((g["label"] or name, g["value"], " and ".join(ends), said))
    return [html.Section("Guards", html.table(("guard", "value", "bound", "verdict"), rows))]


def render(decision: Mapping[str, Any]) -> str:
    """The page of a decision (`gate.decide`), self-contained HTML."""
    return html.page(
        f"Gate: {decision['decision']}",
        f"{decision['challenger']} against {decision['champion']}",
        sections(decision),
    )


def _power(decision: Mapping[str, Any]) -> Markup:
    """The table of what this evaluation could have shown."""
    rows = [
        (
            entry["label"],
            "improvement" if entry["require"] == "better" else "loss",
            "too few documents" if entry["power"] is None else f"{entry['power']:.2g}",
            entry["unit"],
            entry["n"],
        )
        for entry in decision["metrics"].values()
    ]
    return html.table(
        ("smallest difference that could have been shown", "as", "size", "unit", "n"),
        rows,
        "A true difference of this size would be distinguished from none by four in five "
        "evaluations like this one; a smaller one may be there all the same.",
    )


def sections(decision: Mapping[str, Any]) -> list[html.Section]:
    """The parts of that page, for one that holds more than this."""
    kind = "good" if decision["decision"] == "promote" else "bad"
    head = [
        html.paragraph(_SAID[decision["decision"]], kind),
        html.tiles(
            (
                entry["label"],
                "-" if entry["interval"] is None else f"{_gain(entry)[0]:+.3f}",
                f"{entry['unit']} better (+) or worse (-): {_VERDICT[entry['verdict']]}",
            )
            for entry in decision["metrics"].values()
        ),
        html.paragraph("Why: " + "; ".join(decision["reasons"]) + "."),
    ]
    if decision["notes"]:
        head.append(html.paragraph("Notes: " + "; ".join(decision["notes"]) + ".", "muted"))
    head.append(_power(decision))
    facts = [
        ("champion", decision["champion"]),
        ("challenger", decision["challenger"]),
        ("policy", decision["policy"]),
        ("confidence", decision["confidence"]),
        ("random sign flips", decision["resamples"]),
        ("seed", str(decision["seed"])),
        *((f"data: {k}", v) for k, v in decision["data"].items()),
    ]
    return [
        html.Section("Decision", *head),
        *(_metric(name, decision) for name in decision["metrics"]),
        *_guards(decision),
        html.Section("What was compared", html.table(("", ""), facts)),
    ]
