"""Token shards -> MoE checkpoint -> export."""

from __future__ import annotations

from prefect import flow

from headrace.infra.artifacts import Model
from headrace.tasks.models.training import PretrainJob, pretrain_model


@flow(name="pretrain", flow_run_name="pretrain-{job.settings.preset}")
def pretrain(job: PretrainJob, parent: str | None = None) -> Model:
    """A pretrained model; killed and started again it resumes from its last checkpoint."""
    return pretrain_model(job, parent)
