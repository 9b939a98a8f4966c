"""The chain's page holds the reports of its parts, each made of stored figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headrace.infra.artifacts import (
    Change,
    Decision,
    Evaluation,
    Figure,
    Gain,
    Model,
    Pretraining,
    Release,
    Retraining,
    TokenSet,
    Totals,
)
from headrace.infra.releases import Manifest
from headrace.spark_jobs.curate import release_report
from headrace.spark_jobs.settings import CurateSettings
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.gate.contests import Quality
from headrace.tasks.gate.evaluation import Baselines
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.models.alignment import Aligned, AlignmentData
from headrace.tasks.models.samples import PROMPTS
from headrace.tasks.reporting.chain_report import render
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding
from headrace.training.scoring.gate import Evidence, Sample, decide
from headrace.training.scoring.policy import read_policy

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
GAIN = Gain(name="gold_pass", before=0.5, after=0.7, gain=0.2, low=0.1, high=0.3)
BITS = Figure(value=2.0, low=1.9, high=2.1, n=300)
PLAIN = Figure(value=3.0, low=None, high=None, n=3)


def gate() -> Decision:
    ids, sizes = tuple("abcd"), np.full(4, 100.0)
    old = {"old.bits_per_byte": Sample(ids, 2 * sizes, sizes)}
    champion, challenger = Evidence("base <i>", old), Evidence("next", old)
    return decide(champion, challenger, read_policy("first"), seed=1)


@pytest.fixture
def made(tmp_path: Path) -> Lifecycle:
    """A chain whose metrics.jsonl hold nothing."""
    figures = release_report.figures(MANIFEST, LINES, {}, {})
    (tmp_path / "report.json").write_text(figures.model_dump_json())
    totals = Totals.model_validate(MANIFEST["totals"])
    pretraining = Pretraining(
        steps=1200, tokens=2500, loss=2.0, tokens_per_second=3427.5, total_parameters=1_842_560,
        active_parameters=957_824,
    )  # fmt: skip
    gains = {"sft": GAIN.model_copy(update={"low": -0.1}), "reward": None, "ppo": GAIN}
    stages = {s: Model(stage=s, folder=str(tmp_path / s), gain=g) for s, g in gains.items()}
    sliced = {"bits_per_byte": BITS, "bits_per_byte.lang=zh": BITS}
    plain = {"bits_per_byte": PLAIN}
    return Lifecycle(
        release=Release(id="r1", folder=str(tmp_path), totals=totals, input_bytes=2_000_000),
        tokens=TokenSet(
            release_id="r1", tokens=1000, heldout_tokens=9, vocabulary=9, sequence_length=9,
            files=(),
        ),
        base=Model(stage="pretrain", folder=str(tmp_path / "p"), pretraining=pretraining),
        aligned=Aligned(stages, AlignmentData(release_id="r1", counts={})),
        quality=Quality(
            Evaluation(metrics={"bits_per_byte": BITS}),
            Evaluation(metrics=sliced),
            Baselines(metrics={"unigram": plain, "kneser_ney_bigram": plain}),
            began=0,
        ),
        first=Gated(gate(), "promote", ("holds",), "run"),
        again=None,
        seconds=1.0,
    )  # fmt: skip


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
    changes = {
        "new": Change(before=2.5, after=2.25, plain=2.0), "old": Change(before=2.5, after=2.25)
    }  # fmt: skip
    retraining = Retraining(steps=1, tokens=1, metrics=changes, judged_on="")
    folder = str(Path(made.release.folder, "ewc"))
    trained = Model(stage="ewc", folder=folder, retraining=retraining)
    gated = Gated(gate(), "reject", ("worse",), "run", "3", "2")
    again = Retrained(Finding(drift=True), "2", made.release, trained, gated)
    html = page(replace(made, again=again))
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
