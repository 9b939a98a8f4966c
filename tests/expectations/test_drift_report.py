"""The report says what shifted, escapes what it shows, and is the same for the same verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations import drift_report
from headrace.expectations.drift import Reference, judge
from headrace.expectations.settings import DriftSettings
from headrace.expectations.verdict import DriftVerdict

FEW = DriftSettings(permutations=399)
WORDS = {
    "law": ["statute", "court", "clause", "party", "contract", "article", "judge", "appeal"],
    "sea": ["ship", "harbour", "tide", "wave", "sailor", "anchor", "gull", "reef"],
}


def texts(topic: str, n: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS[topic], 40)) for _ in range(n)]


def table(parts: list[tuple[str, str, int]], seed: int) -> pa.Table:
    """Documents of (topic, domain) in these numbers."""
    text, domain = [], []
    for topic, name, n in parts:
        text += texts(topic, n, seed)
        domain += [name] * n
    score = np.random.default_rng(seed).beta(8, 2, len(text)).astype(np.float32)
    columns: dict[str, Any] = {
        "text": text, "lang": ["en"] * len(text), "domain": domain, "semantic_score": score,
    }  # fmt: skip
    return pa.table(columns)


def against(reference: pa.Table, window: pa.Table, settings: DriftSettings = FEW) -> DriftVerdict:
    return judge(Reference("the corpus", reference), window, settings=settings)


@pytest.fixture(scope="module")
def shifted() -> DriftVerdict:
    window = table([("law", "legal", 60)], 2)
    evil = pa.table(
        {
            "text": ["<script>alert(1)</script> " + t for t in texts("sea", 40, 3)],
            "lang": ["en"] * 40,
            "domain": ["general"] * 40,
            "semantic_score": pa.array(np.ones(40, np.float32)),
        }
    )
    return against(table([("law", "legal", 200)], 1), pa.concat_tables([window, evil]))


def test_sentence_names_what_moved_and_how_much(shifted: DriftVerdict) -> None:
    said = drift_report.sentence(shifted)
    assert said.startswith("Drift: 100 documents of the window were compared with 200")
    assert "40% of the window and 0% of the reference" in said
    assert "domain" in said


def test_page_is_escaped_whole_and_the_same_every_time(shifted: DriftVerdict) -> None:
    page = drift_report.render(shifted, "inbox <b>1</b>")
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page
    assert "inbox &lt;b&gt;1" in page
    assert all(test.name in page for test in shifted.nearest.tests)
    assert page.count("<svg") == len(shifted.nearest.distributions)
    assert page == drift_report.render(shifted, "inbox <b>1</b>")


def test_the_page_is_made_of_a_verdict_that_survives_a_file(
    shifted: DriftVerdict, tmp_path: Path
) -> None:
    uri = drift_report.store(shifted, str(tmp_path / "verdict.json"))
    again = drift_report.stored(uri)
    assert again is not None and again == shifted
    assert drift_report.render(again, "w") == drift_report.render(shifted, "w")


def test_sections_of_an_earlier_version_are_no_verdict(tmp_path: Path) -> None:
    old = tmp_path / "sections.json"
    old.write_text('[["Verdict", "<p>Drift</p>"]]')
    assert drift_report.stored(str(old)) is None


def test_no_drift_says_so() -> None:
    verdict = against(table([("law", "legal", 200)], 1), table([("law", "legal", 80)], 2))
    assert drift_report.sentence(verdict).startswith("No drift: 80 documents")
    assert "No drift" in drift_report.render(verdict, "b")


def test_a_difference_too_small_to_matter_is_said() -> None:
    verdict = against(
        table([("law", "legal", 200)], 1),
        table([("law", "legal", 60), ("sea", "legal", 40)], 2),
        FEW.model_copy(update={"minimum_effect": 0.99}),
    )
    assert not verdict.drift
    assert "less than the 99%" in drift_report.sentence(verdict)


def test_topic_without_score_is_said() -> None:
    window = table([("law", "legal", 60), ("sea", "legal", 40)], 2)
    reference = table([("law", "legal", 200)], 1)
    text = ["text", "lang", "domain"]
    verdict = against(reference.select(text), window.select(text))
    assert verdict.drift and {"lang", "domain"}.isdisjoint(verdict.drifted)
