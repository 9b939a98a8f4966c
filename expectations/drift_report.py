"""The page that says what shifted, and how much, and shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from headrace.expectations.drift import (
    CATEGORIES,
    DIRECTIONS,
    LENGTH,
    MIX,
    NEIGHBOURS,
    Distribution,
    DriftVerdict,
    TestResult,
)
from headrace.infra import pages, storage
from headrace.infra.pages import Section

_MEANT = {
    NEIGHBOURS: "text: documents whose nearest neighbours are of their own side",
    DIRECTIONS: "text: the leading directions of all texts",
    MIX: "shares of language and domain together",
    "lang": "shares of languages",
    "domain": "shares of domains",
    LENGTH: "length of documents",
    "semantic_score": "semantic score (level 2)",
    "bias_score": "bias score (level 4)",
    "domain_score": "score of the best domain (level 5)",
}


def sentence(verdict: DriftVerdict) -> str:
    """What a person needs to know of a verdict, in one or two sentences."""
    sizes = (
        f"{verdict.window_documents:,} documents of the window were compared with "
        f"{verdict.reference_documents:,} of the reference"
    )
    if not verdict.drift:
        strong = [t for t in verdict.tests if t.p_value <= verdict.settings.alpha]
        if strong:
            names = ", ".join(t.name for t in strong)
            return (
                f"No drift: {sizes}; {names} differ beyond chance, but by less than the "
                f"{verdict.settings.minimum_effect:.0%} of the documents that matter."
            )
        return f"No drift: {sizes}, and no difference is beyond chance (p = {verdict.p_value:.3g})."
    said = [
        f"Drift: {sizes}; at least about {verdict.effect:.0%} of the window is unlike the "
        f"reference (p = {verdict.p_value:.2g})."
    ]
    shifted = set(CATEGORIES) & set(verdict.drifted)
    moved = [_moved(d) for d in verdict.distributions if d.name in shifted]
    if moved:
        said.append("; ".join(moved) + ".")
    elif set(verdict.drifted) <= {NEIGHBOURS, DIRECTIONS}:
        said.append("No score or share shows it: what shifted is the wording or the topic.")
    return " ".join(said)


def _moved(d: Distribution) -> str:
    """The category whose share moved most."""
    gaps = np.array(d.window) - np.array(d.reference)
    at = int(np.argmax(np.abs(gaps)))
    return (
        f"{d.name} {d.labels[at]} makes up {d.window[at]:.0%} of the window and "
        f"{d.reference[at]:.0%} of the reference"
    )


def render(verdict: DriftVerdict, reference: str, window: str) -> str:
    """The report as a self-contained HTML page.

    Args:
        verdict: the outcome of `drift.compare`.
        reference: what the reference is, for a person.
        window: what the window is.
    """
    title = "Drift found" if verdict.drift else "No drift"
    return pages.page(title, f"{window} against {reference}", sections(verdict))


def sections(verdict: DriftVerdict) -> list[Section]:
    """The parts of the report, for a page that holds more than this."""
    kind = "bad" if verdict.drift else "good"
    s = verdict.settings
    rules = (
        f"An alert needs p at most {s.alpha:g}, corrected for all tests at once (max-T, "
        f"{s.permutations:,} permutations), and an effect of at least {s.minimum_effect:g}: the "
        "share of the window that differs, beyond what chance gives."
    )
    out = [
        Section(
            "Verdict",
            pages.paragraph(sentence(verdict), kind),
            pages.tiles(
                [
                    ("drift", verdict.drift, ", ".join(verdict.drifted) or "nothing drifted"),
                    ("p-value", verdict.p_value, "of all tests together"),
                    ("effect", verdict.effect, "share of the window that differs at least"),
                ]
            ),
            pages.table(
                ["test", "compares", "p-value", "effect", "verdict"],
                [_row(t, verdict) for t in verdict.tests],
                rules,
            ),
        ),
        Section("Reference and window", *[_plot(d) for d in verdict.distributions]),
    ]
    if verdict.unusual:
        parts: list[Markup] = [
            pages.paragraph(
                "Documents whose nearest neighbours lie most in the window itself.", "muted"
            )
        ]
        for u in verdict.unusual:
            about = f"{u.lang or '?'}, {u.domain or '?'}: {u.neighbours_in_window:.0%} of its "
            parts += [pages.paragraph(about + "neighbours are of the window", "muted")]
            parts += [pages.excerpt(u.text)]
        out.append(Section("The most unusual documents of the window", *parts))
    return out


def _row(test: TestResult, verdict: DriftVerdict) -> list[Any]:
    drifted = test.name in verdict.drifted
    mark = Markup('<span class="{}">{}</span>').format(
        "bad" if drifted else "muted", "drifted" if drifted else "no"
    )
    return [test.name, _MEANT.get(test.name, ""), test.p_value, test.effect, mark]


def _plot(d: Distribution) -> Markup:
    at = np.arange(len(d.labels))
    numbers = d.name not in (*CATEGORIES, MIX)

    def draw(axes: Any) -> None:
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
                    color=pages.colour(colour),
                    label=name,
                )
            if d.name == LENGTH:
                axes.set_xlabel("bytes of a document, log10")
            else:
                # Nearly all scores lie at one end: what is rare would not be seen beside it.
                axes.set_xlabel(d.name)
                axes.set_yscale("symlog", linthresh=0.01)
        else:
            axes.bar(at - 0.2, d.reference, 0.4, color=pages.colour("blue"), label="reference")
            axes.bar(at + 0.2, d.window, 0.4, color=pages.colour("amber"), label="window")
            many = len(at) > 6
            axes.set_xticks(
                at, d.labels, rotation=30 if many else 0, ha="right" if many else "center"
            )
        axes.set_ylabel("share of documents")
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return pages.plot(draw, f"{d.name}: {_MEANT.get(d.name, d.name)}.")


def dump_sections(verdict: DriftVerdict, uri: str) -> str:
    """Write the sections to a JSON file, for a page that is made later; returns its URI."""
    storage.write_bytes(uri, pages.dump_sections(sections(verdict)).encode())
    return uri
