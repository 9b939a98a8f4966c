"""Export -> SFT -> reward model -> PPO."""

from __future__ import annotations

from prefect import flow

from headrace.infra.artifacts import Model, Release, TokenSet
from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import AlignSettings
from headrace.tasks.models.alignment import Aligned, derive_data
from headrace.tasks.models.training import align_of, run_alignment, validate_examples
from headrace.training.rlhf.jobs import StageJob


@flow(name="align-stage", flow_run_name="align-{stage}")
def align_stage(stage: str, job: StageJob) -> Model:
    """One stage on a user's own data."""
    return _stage(stage, job)


def _stage(stage: str, job: StageJob, chain: str | None = None) -> Model:
    validate_examples(stage, job)
    return run_alignment(stage, job, chain)


@flow(name="align", flow_run_name="align")
def align(
    base: Model,
    release: Release,
    tokens: TokenSet,
    settings: AlignSettings,
    shared: Shared,
    chain: str | None = None,
) -> Aligned:
    """The three stages on data derived from the release, each judged on held-out prompts."""
    data = derive_data(release, settings, shared)

    def stage(name: str, model: Model, reward: str | None, replay: str | None) -> Model:
        job = align_of(
            name, settings, shared, model.export, data.examples(name), reward=reward, replay=replay
        )
        return _stage(name, job, chain)

    sft = stage("sft", base, None, tokens.folder)
    reward = stage("reward", sft, None, None)
    ppo = stage("ppo", sft, reward.export, tokens.folder)
    return Aligned({"sft": sft, "reward": reward, "ppo": ppo}, data)
