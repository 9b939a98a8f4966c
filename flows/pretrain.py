"""Token shards -> MoE checkpoint -> export."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.tasks.models.training import PretrainJob, pretrain_model


@flow(name="pretrain", flow_run_name="pretrain-{job.settings.preset}")
def pretrain(job: PretrainJob, parent: str | None = None) -> dict[str, Any]:
    """A pretrained model; killed and started again it goes on from its last checkpoint."""
    return pretrain_model(job, parent)
