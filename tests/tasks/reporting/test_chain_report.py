"""The chain's page holds the reports of its parts, each made of stored figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_chain import chain, refused_round

from headrace.infra.releases import Manifest
from headrace.spark_jobs.curate import release_report
from headrace.spark_jobs.settings import CurateSettings
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.models.samples import PROMPTS
from headrace.tasks.reporting.chain_report import render
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding

MANIFEST: Manifest = {
    "release_id": "r1",
    "parent": None,
    "inputs": [{"uri": "a.jsonl", "bytes": 10, "sha256": "", "records": 7}],
    "config": CurateSettings().model_dump(mode="json"),
    "code_version": "",
    "totals": {"read": 7, "kept": 5, "rejected": {"bias": 1}, "unreadable": 1},
    "warnings": {"repeated_ids": 0},
    "files": [],
}
LINES = [
    ("a.jsonl", "kept", "", "", "en", 5, 100, 0),
    ("a.jsonl", "rejected", "bias", "bias.density", "zh", 1, 9, 0),
    ("a.jsonl", "unreadable", "", "", "und", 1, 9, 0),
]


@pytest.fixture
def made(tmp_path: Path) -> Lifecycle:
    """A chain whose release has a report."""
    figures = release_report.figures(MANIFEST, LINES, {}, {})
    (tmp_path / "report.json").write_text(figures.model_dump_json())
    return chain(tmp_path)


def page(made: Lifecycle) -> str:
    return render(made, {stage: [f"<b>{stage}"] * len(PROMPTS) for stage in made.exports})


def test_the_parts_stand_under_their_names(made: Lifecycle) -> None:
    html = page(made)
    for text in (
        "Release: in short", "Release: rejected by level and language", "First gate: decision",
        "adds up", "1 of 2 better", "sft: not shown", "left out", "passed 2.5 times",
        "2,500 tokens in 1200 steps", "lang=zh", "&lt;b&gt;PPO", "base &lt;i&gt;",
    ):  # fmt: skip
        assert text in html, text
    assert "Second gate" not in html and "Drift" not in html and "<b>sft" not in html
    assert '<a href="#s0">At a glance</a> · <a href="#s1">Release</a>' in html


def test_a_round_has_its_retraining_and_gate(made: Lifecycle) -> None:
    html = page(replace(made, again=refused_round(made.release)))
    for text in (
        "Second gate: decision",
        "new text",
        "-0.250",
        "champion: version 2",
        "retraining",
    ):
        assert text in html, text


def test_a_round_without_drift_says_so(made: Lifecycle) -> None:
    html = page(replace(made, again=Retrained(Finding(drift=False), "1")))
    assert "no drift" in html and "Retraining" not in html


def test_a_release_of_an_earlier_version_is_left_out(made: Lifecycle) -> None:
    Path(made.release.folder, "report.json").write_text('[["In short", "<p>old</p>"]]')
    html = page(made)
    assert "Release: in short" not in html and "Pretraining" in html


def test_a_ledger_that_does_not_add_up_shows(made: Lifecycle) -> None:
    totals = made.release.totals.model_copy(update={"kept": 4})
    release = made.release.model_copy(update={"totals": totals})
    assert "does not add up" in page(replace(made, release=release))
