"""Run folders: named by what decides the weights, so that an operational setting reuses a run."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.artifacts import TokenSet
from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import RetrainConfig, RunConfig
from headrace.tasks.models.training import align_of, pretrain_of
from headrace.tasks.retraining.round import deciding
from headrace.training.rlhf.settings import AlignSettings
from headrace.training.rlhf.stages import STAGES
from headrace.training.settings import PretrainSettings


@pytest.fixture
def tokens(tmp_path: Path) -> TokenSet:
    manifest = {"release_id": "r1", "vocabulary": 300, "sequence_length": 64, "files": [],
                "tokens": 640, "heldout_tokens": 64}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return TokenSet.load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"processes": 2}, True),
        ({"checkpoint": {"every": 7}}, True),
        ({"checkpoint": {"keep": 9}}, True),
        ({"heldout_every": 50}, True),
        ({"steps": 1200}, True),
        ({"steps": 7}, False),
        ({"rows": 4}, False),
        ({"balance_rate": 0.1}, False),
    ],
)
def test_pretraining_keeps_its_folder_unless_the_weights_change(
    tokens: TokenSet, changed: dict[str, Any], same: bool
) -> None:
    one = pretrain_of(tokens, PretrainSettings(), Shared())
    other = pretrain_of(tokens, PretrainSettings.model_validate(changed), Shared())
    assert (one.output == other.output) == same
    assert other.settings == PretrainSettings.model_validate(changed)


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_a_stage_of_alignment_keeps_its_folder_unless_the_weights_change(
    stage: str, tokens: TokenSet, tmp_path: Path
) -> None:
    for name in ("model", "judge"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    (tmp_path / "data.jsonl").write_text("{}")

    def folder(changed: dict[str, Any], data: str = "data.jsonl") -> str:
        settings = AlignSettings.model_validate({stage: changed})
        replay = tokens.folder if stage != "reward" else None
        job = align_of(
            stage, settings, Shared(), str(tmp_path / "model"), str(tmp_path / data),
            str(tmp_path / "judge") if stage == "ppo" else None, replay,
        )  # fmt: skip
        return job.output

    one = folder({})
    assert folder({"checkpoint": {"every": 3}}) == folder({"checkpoint": {"keep": 3}}) == one
    assert folder({"clip": 0.5}) != one
    (tmp_path / "other.jsonl").write_text("{ }")
    assert folder({}, "other.jsonl") != one
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    assert folder({}) != one


OPERATION: list[dict[str, Any]] = [
    {"spark": {"master": "local[7]"}},
    {"notify": {"webhook": "http://127.0.0.1/x"}},
    {"pretrain": {"checkpoint": {"every": 5}}},
    {"pretrain": {"processes": 2}},
    {"align": {"ppo": {"checkpoint": {"keep": 5}}}},
    {"retrain": {"ewc": {"course": {"checkpoint": {"every": 5}}}}},
    {"retrain": {"cooldown_minutes": 5.0}},
    {"retrain": {"budget": {"minutes": 5.0}}},
]
RESULT: list[dict[str, Any]] = [
    {"seed": 2},
    {"pretrain": {"steps": 5}},
    {"pretrain": {"heldout_rows": 5}},
    {"align": {"ppo": {"evaluation_samples": 5}}},
    {"retrain": {"compare_plain": False}},
    {"curate": {"semantics": {"threshold": 0.8}}},
]


@pytest.mark.parametrize("changed", OPERATION)
def test_a_chain_goes_on_under_other_operational_settings(changed: dict[str, Any]) -> None:
    assert deciding(RunConfig.model_validate(changed)) == deciding(RunConfig())
    own = changed.get("retrain", {} if {"pretrain", "align"} & set(changed) else changed)
    assert deciding(RetrainConfig.model_validate(own)) == deciding(RetrainConfig())


@pytest.mark.parametrize("changed", RESULT)
def test_a_chain_of_another_result_is_another_chain(changed: dict[str, Any]) -> None:
    assert deciding(RunConfig.model_validate(changed)) != deciding(RunConfig())


def test_each_stage_of_alignment_has_its_module() -> None:
    assert set(STAGES) == {"sft", "reward", "ppo"}
    assert all(find_spec(stage.module) for stage in STAGES.values())
