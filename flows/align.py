"""Export -> SFT -> reward model -> PPO."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import AlignSettings
from headrace.tasks.models.alignment import aligned_model, derive_data
from headrace.tasks.models.training import align_of, run_alignment, validate_examples
from headrace.training.rlhf.jobs import StageJob


@flow(name="align-stage", flow_run_name="align-{stage}")
def align_stage(stage: str, job: StageJob) -> dict[str, Any]:
    """One stage on a user's own data; the answer of `headrace align`."""
    return _stage(stage, job)


def _stage(stage: str, job: StageJob, chain: str | None = None) -> dict[str, Any]:
    validate_examples(stage, job)
    return run_alignment(stage, job, chain)


@flow(name="align", flow_run_name="align")
def align(
    base: dict[str, Any],
    release: dict[str, Any],
    tokens: dict[str, Any],
    settings: AlignSettings,
    shared: Shared,
    chain: str | None = None,
) -> dict[str, Any]:
    """The three stages on data derived from the release, each judged on held-out prompts."""
    data = derive_data(release, settings, shared)
    replay = {"replay": tokens["output"]}
    sft = _stage(
        "sft",
        align_of("sft", settings, shared, base["export"], data["sft"]["data"], extra=replay),
        chain,
    )
    reward = _stage(
        "reward",
        align_of("reward", settings, shared, sft["export"], data["reward"]["data"]),
        chain,
    )
    ppo = _stage(
        "ppo",
        align_of(
            "ppo",
            settings,
            shared,
            sft["export"],
            data["ppo"]["data"],
            reward=reward["export"],
            extra=replay,
        ),
        chain,
    )
    return aligned_model(data, sft, reward, ppo)
