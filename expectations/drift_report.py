"""The page that says what shifted, and how much, and shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from headrace.expectations import drift_tests
from headrace.expectations.columns import CATEGORIES, LENGTH, MIX, Distribution
from headrace.expectations.verdict import Comparison, DriftVerdict, TestResult
from headrace.infra import html, storage
from headrace.infra.html import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEANT = {
    MIX: "shares of language and domain together",
    "lang": "shares of languages",
    "domain": "shares of domains",
    LENGTH: "length of documents",
    "semantic_score": "semantic score (level 2)",
    "bias_score": "bias score (level 4)",
    "domain_score": "score of the best domain (level 5)",
}
"""What the test of each column compares."""
_IN_ORDER = {
    "position": "in the order in which they were read",
    "source": "by the source that records name",
    "day": "by day",
}


def sentence(verdict: DriftVerdict) -> str:
    """What a person needs to know of a verdict, in a few sentences."""
    if verdict.drift:
        return _drifted(verdict)
    nearest = verdict.nearest
    sentences = [_no_drift(nearest)]
    other = [c.reference for c in verdict.comparisons if c.drift]
    if other:
        sentences.append(f"It does differ from {' and from '.join(other)}.")
    if few := _too_few(nearest):
        sentences.append(few)
    return " ".join(sentences)


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
    sentences = [f"Drift: {_sizes(nearest)};"]
    if set(verdict.drifted) <= drift_tests.names("bits per byte") and nearest.loss:
        sentences.append(
            f"the champion reads it worse, by {nearest.loss.rise:.2f} bits per byte "
            f"(p = {nearest.p_value:.2g})."
        )
    else:
        sentences.append(
            f"at least about {nearest.effect:.0%} of the window is unlike it "
            f"(p = {nearest.p_value:.2g})."
        )
    if len(verdict.comparisons) > 1:
        sentences.append("It differs from everything that the champion knows.")
    shifted = set(CATEGORIES) & set(verdict.drifted)
    moved = [_moved(d) for d in nearest.distributions if d.name in shifted]
    if moved:
        sentences.append("; ".join(moved) + ".")
    elif set(verdict.drifted) <= drift_tests.names("share of the window"):
        sentences.append("No score or share shows it: what shifted is the wording or the topic.")
    return " ".join(sentences)


def _moved(d: Distribution) -> str:
    """The category whose share moved most."""
    gaps = np.array(d.window) - np.array(d.reference)
    at = int(np.argmax(np.abs(gaps)))
    return (
        f"{d.name} {d.labels[at]} makes up {d.window[at]:.0%} of the window and "
        f"{d.reference[at]:.0%} of the reference"
    )


def render(verdict: DriftVerdict, window: str) -> str:
    """The report as a self-contained HTML page.

    Args:
        verdict: the outcome of `drift.judge`.
        window: what the window is, for a person.
    """
    title = "Drift found" if verdict.drift else "No drift"
    references = " and ".join(c.reference for c in verdict.comparisons)
    return html.page(title, f"{window} against {references}", sections(verdict))


def sections(verdict: DriftVerdict) -> list[Section]:
    """The parts of the report, for a page that holds more than this."""
    kind = "bad" if verdict.drift else "good"
    first = verdict.comparisons[0]
    out = [
        Section(
            "Verdict",
            html.paragraph(sentence(verdict), kind),
            html.tiles(
                [
                    ("drift", verdict.drift, ", ".join(verdict.drifted) or "nothing drifted"),
                    ("p-value", verdict.p_value, "of all tests together"),
                    ("effect", verdict.effect, "share of the window that differs at least"),
                ]
            ),
            html.table(
                ["reference", "documents", "p-value", "effect", "loss", "drifted", "verdict"],
                [_summary(c) for c in verdict.comparisons],
                "A window has drifted where it differs from every reference. The loss is the "
                "champion's on the window, less that on held-out text, in bits per byte.",
            ),
            html.paragraph(_units(first), "muted"),
        )
    ]
    for comparison in verdict.comparisons:
        out.append(_against(comparison))
    out.append(_loss(verdict))
    if first.unusual:
        parts: list[Markup] = [
            html.paragraph(
                "Documents whose nearest neighbors lie most in the window itself.", "muted"
            )
        ]
        for u in first.unusual:
            about = f"{u.lang or '?'}, {u.domain or '?'}: {u.neighbours_in_window:.0%} of its "
            parts += [html.paragraph(about + "neighbors are of the window", "muted")]
            parts += [html.excerpt(u.text)]
        out.append(Section("The most unusual documents of the window", *parts))
    return out


def _units(comparison: Comparison) -> str:
    if comparison.window_run == 1.0:
        return "Documents count one by one: neighbors are no more alike than documents far apart."
    few = _too_few(comparison)
    return (
        f"Taken {_IN_ORDER[comparison.order]}, about {comparison.window_run:.0f} documents in a "
        f"row tell of each other: they count as {comparison.window_units} runs."
        + (f" {few}" * bool(few))
    )


def _mark(drifted: bool) -> Markup:
    return Markup('<span class="{}">{}</span>').format(
        "bad" if drifted else "muted", "drifted" if drifted else "no"
    )


def _summary(c: Comparison) -> list[str | float | None]:
    rise = c.loss.rise if c.loss else None
    documents = f"{c.reference_documents:,}"
    return [
        c.reference, documents, c.p_value, c.effect, rise, ", ".join(c.drifted), _mark(c.drift)
    ]  # fmt: skip


def _against(comparison: Comparison) -> Section:
    s = comparison.settings
    rules = (
        f"A difference needs p at most {s.alpha:g}, corrected for all tests at once (max-T, "
        f"{s.permutations:,} permutations), and an effect of at least {s.minimum_effect:g}, the "
        "share of the window that differs, beyond what chance gives; of the loss "
        f"{s.minimum_loss_rise:g} bits per byte."
    )
    return Section(
        f"Against {comparison.reference}",
        html.table(
            ["test", "compares", "p-value", "effect", "verdict"],
            [_row(t) for t in comparison.tests],
            rules,
        ),
        *[_plot(d) for d in comparison.distributions],
    )


def _row(test: TestResult) -> list[str | float]:
    title = drift_tests.titles().get(test.name) or _MEANT.get(test.name, "")
    return [test.name, title, test.p_value, test.effect, _mark(test.drifted)]


def _loss(verdict: DriftVerdict) -> Section:
    title = "The champion's loss"
    measured = [c for c in verdict.comparisons if c.loss]
    if not measured:
        why = verdict.without_loss or "the reference is not a champion's corpus"
        return Section(title, html.paragraph(f"It was not measured: {why}.", "muted"))
    rows = [
        [c.reference, s.name, s.window_documents, s.heldout_documents, s.window, s.heldout]
        for c in measured
        for s in (c.loss.strata if c.loss else ())
    ]
    return Section(
        title,
        html.table(
            ["reference", "text", "window", "held out", "loss of the window", "of held-out text"],
            rows,
            "Numbers of documents, and bits per byte. Documents of one language and domain are "
            "compared with each other; where little is held out of a domain, all of its language.",
        ),
    )


def _plot(d: Distribution) -> Markup:
    at = np.arange(len(d.labels))
    numbers = d.name not in (*CATEGORIES, MIX)

    def draw(axes: Axes) -> None:
        if numbers:
            edges = np.array([float(x) for x in d.labels])
            step = edges[1] - edges[0]
            for name, values, colour in (
                ("reference", d.reference, "blue"),
                ("window", d.window, "amber"),
            ):
                axes.stairs(
                    values,
                    [*edges, edges[-1] + step],
                    fill=True,
                    alpha=0.45,
                    color=html.colour(colour),
                    label=name,
                )
            if d.name == LENGTH:
                axes.set_xlabel("bytes of a document, log10")
            else:
                # Nearly all scores lie at one end: what is rare would not be seen beside it.
                axes.set_xlabel(d.name)
                axes.set_yscale("symlog", linthresh=0.01)
        else:
            axes.bar(at - 0.2, d.reference, 0.4, color=html.colour("blue"), label="reference")
            axes.bar(at + 0.2, d.window, 0.4, color=html.colour("amber"), label="window")
            many = len(at) > 6
            axes.set_xticks(
                at, d.labels, rotation=30 if many else 0, ha="right" if many else "center"
            )
        axes.set_ylabel("share of documents")
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return html.plot(draw, f"{d.name}: {_MEANT.get(d.name, d.name)}.")


def dump_sections(verdict: DriftVerdict, uri: str) -> str:
    """Write the sections to a JSON file, for a page that is made later; returns its URI."""
    storage.write_bytes(uri, html.dump_sections(sections(verdict)).encode())
    return uri
