from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from headrace.infra.artifacts import Decision
from headrace.training.scoring.gate import Evidence, Sample, decide
from headrace.training.scoring.gate_report import drawings, render
from headrace.training.scoring.policy import read_policy


def decision(change: float, name: str = "version 2") -> Decision:
    """The default policy's decision where new text changes by `change`, no reward measured."""
    ids = tuple(map(str, range(30)))
    sizes = np.full(30, 100.0)
    rates = np.linspace(1, 3, 30)
    lang = {"lang": ("zh", "en") * 15}

    def both(by: float) -> dict[str, Sample]:
        new = Sample(ids, (rates + by) * sizes, sizes, lang)
        old = Sample(ids, rates * sizes, sizes)
        return {"new.bits_per_byte": new, "old.bits_per_byte": old, "anchor.bits_per_byte": old}

    return decide(
        Evidence("version 1", both(0), against={"anchor.bits_per_byte": "version 0"}),
        Evidence(name, both(change), {"new.order_gain": 0.5}, {"new": "abc"}),
        read_policy("default"),
        seed=1,
    )


def test_page_says_the_decision_and_the_improvement_in_words() -> None:
    page = render(decision(-0.25))
    assert "Promote: the challenger" in page and "New text improves by 0.250 bits per byte" in page
    assert "lower is better" in page and "lang=zh" in page and "not measured" in page
    assert page.count("<svg") == 3 and "Compared with version 0, not with the champion" in page


def test_page_states_the_smallest_difference_that_could_have_been_shown() -> None:
    made = decision(-0.25)
    page = render(made)
    assert "smallest difference that could have been shown" in page
    assert "smallest improvement that an evaluation like this one shows" in page
    assert "smallest loss that an evaluation like this one shows" in page


def test_page_of_a_refusal() -> None:
    page = render(decision(0.25))
    assert (
        "Reject: the challenger" in page
        and "New text loses by 0.250" in page
        and "Promote: the challenger" not in page
    )


def test_page_escapes_names_and_is_deterministic() -> None:
    page = render(decision(-0.25, "<script>alert(1)</script>"))
    assert "<script" not in page
    assert page == render(decision(-0.25, "<script>alert(1)</script>"))


def test_plots_are_well_formed() -> None:
    page = render(decision(-0.25))
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    assert ET.fromstring(svg).tag.endswith("svg")


def test_drawings_are_the_plots_by_metric() -> None:
    found = drawings(decision(-0.25))
    assert len(found) == 3 and "new-text.svg" in found
    assert all(svg in render(decision(-0.25)) + "\n" for svg in map(str.strip, found.values()))


def test_page_of_too_few_documents() -> None:
    def few(by: float) -> dict[str, Sample]:
        ids, sizes = tuple("abcd"), np.full(4, 100.0)
        return {"old.bits_per_byte": Sample(ids, (2.0 + by) * sizes, sizes)}

    made = decide(Evidence("a", few(0)), Evidence("b", few(-1)), read_policy("first"), seed=1)
    page = render(made)
    assert "too few for an interval" in page and "Inconclusive" in page


def test_page_without_any_figure() -> None:
    empty = decide(Evidence("a", {}), Evidence("b", {}), read_policy("first"), seed=1)
    assert "Inconclusive" in render(empty)
