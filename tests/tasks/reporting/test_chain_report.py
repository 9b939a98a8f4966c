"""The chain's page holds the reports of its parts, each made of stored figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import JsonValue

from headrace.spark_jobs.curate import release_report
from headrace.spark_jobs.settings import CurateSettings
from headrace.tasks.chain_figures import ChainFigures
from headrace.tasks.models.samples import PROMPTS
from headrace.tasks.reporting.chain_report import render
from headrace.training.scoring.gate import Evidence, Sample, decide
from headrace.training.scoring.policy import read_policy

RELEASE = {
    "release_id": "r1",
    "parent": None,
    "inputs": [{"uri": "a.jsonl", "bytes": 10, "records": 7}],
    "config": CurateSettings().model_dump(mode="json"),
    "totals": {"read": 7, "kept": 5, "rejected": {"bias": 1}, "unreadable": 1},
    "warnings": {"repeated_ids": 0},
}
LINES = [
    ("a.jsonl", "kept", "", "", "en", 5, 100, 0),
    ("a.jsonl", "rejected", "bias", "bias.density", "zh", 1, 9, 0),
    ("a.jsonl", "unreadable", "", "", "und", 1, 9, 0),
]


def gate() -> dict[str, JsonValue]:
    ids, sizes = tuple("abcd"), np.full(4, 100.0)
    old = {"old.bits_per_byte": Sample(ids, 2 * sizes, sizes)}
    champion, challenger = Evidence("base <i>", old), Evidence("next", old)
    return decide(champion, challenger, read_policy("first"), seed=1).as_json()


@pytest.fixture
def answer(tmp_path: Path) -> dict[str, Any]:
    """The answer of a chain whose metrics.jsonl hold nothing."""
    figures = release_report.figures(RELEASE, LINES, {}, {})
    (tmp_path / "report.json").write_text(figures.model_dump_json())
    gain = {"name": "gold_pass", "before": 0.5, "after": 0.7, "gain": 0.2, "low": 0.1, "high": 0.3}
    bits = {"value": 2.0, "low": 1.9, "high": 2.1, "n": 300}
    plain = {"bits_per_byte": {"value": 3.0}}
    return {
        "release": str(tmp_path),
        **{k: RELEASE["totals"][k] for k in ("read", "kept", "rejected", "unreadable")},  # type: ignore[index]
        "release_id": "r1",
        "input_bytes": 2_000_000,
        "total_parameters": 1_842_560,
        "active_parameters": 957_824,
        "decision": "promote",
        "gate": gate(),
        "tokens": {"tokens": 1000, "output": "tokens"},
        "pretrain": {
            "export": str(tmp_path / "p" / "export"),
            "steps": 1200,
            "tokens": 2500,
            "tokens_per_second": 3427.5,
        },
        "stages": {s: {"export": str(tmp_path / s / "export")} for s in ("sft", "reward", "ppo")},
        "alignment": {"sft": {**gain, "low": -0.1}, "ppo": gain},
        "evaluation": {
            "unigram": {"metrics": plain},
            "kneser_ney_bigram": {"metrics": plain},
            "pretrained": {"metrics": {"bits_per_byte": bits}},
            "aligned": {"metrics": {"bits_per_byte": bits, "bits_per_byte.lang=zh": bits}},
        },
        "round": None,
    }


def page(answer: dict[str, Any]) -> str:
    figures = ChainFigures.model_validate(json.loads(json.dumps(answer)))
    texts = {stage: [f"<b>{stage}"] * len(PROMPTS) for stage in figures.exports}
    return render(figures, texts)


def test_the_parts_stand_under_their_names(answer: dict[str, Any]) -> None:
    html = page(answer)
    for text in (
        "Release: in short", "Release: rejected by level and language", "First gate: decision",
        "adds up", "1 of 2 better", "sft: not shown", "left out", "passed 2.5 times",
        "2,500 tokens in 1200 steps", "lang=zh", "&lt;b&gt;PPO", "base &lt;i&gt;",
    ):  # fmt: skip
        assert text in html, text
    assert "Second gate" not in html and "Drift" not in html and "<b>sft" not in html
    assert '<a href="#s0">At a glance</a> · <a href="#s1">Release</a>' in html


def test_a_round_has_its_retraining_and_gate(answer: dict[str, Any]) -> None:
    both = {"before": 2.5, "after": 2.25, "plain": 2.0}
    answer["round"] = {
        "champion": "2",
        "decision": "reject",
        "verdict": {"sections": None},
        "folder": str(Path(answer["release"], "ewc")),
        "export": str(Path(answer["release"], "ewc", "export")),
        "metrics": {"new": both, "old": {**both, "plain": None}},
        "gate": gate(),
    }
    html = page(answer)
    for text in (
        "Second gate: decision",
        "new text",
        "-0.250",
        "champion: version 2",
        "retraining",
    ):
        assert text in html, text


def test_a_round_without_drift_says_so(answer: dict[str, Any]) -> None:
    answer["round"] = {"drift": False, "champion": "1", "sections": None}
    html = page(answer)
    assert "no drift" in html and "Retraining" not in html


def test_a_release_of_an_earlier_version_is_left_out(answer: dict[str, Any]) -> None:
    Path(answer["release"], "report.json").write_text('[["In short", "<p>old</p>"]]')
    html = page(answer)
    assert "Release: in short" not in html and "Pretraining" in html


def test_a_ledger_that_does_not_add_up_shows(answer: dict[str, Any]) -> None:
    assert "does not add up" in page({**answer, "kept": 4})
