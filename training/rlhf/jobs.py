"""What the processes of the stages are given. Light to import: no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.training.rlhf.settings import PPOSettings, RewardSettings, SFTSettings, StageSettings


class StageJob(Settings):
    """Fields shared by all stages. `model` is the SFT model, or the base model for SFT."""

    model: str
    """Export folder of the model to begin with."""
    data: str
    """File or folder with the stage's columns (examples.py)."""
    output: str
    """Folder of the run."""
    seed: int = 0
    """Seed of everything random."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """Goes into the export's lineage.json and card."""
    settings: StageSettings
    """How the stage trains."""


class SFTJob(StageJob):
    """One run of supervised fine-tuning."""

    replay: str | None = None
    """Token folder to mix pretraining text from; None: none."""
    settings: SFTSettings = SFTSettings()


class RewardJob(StageJob):
    """One training of a reward model."""

    settings: RewardSettings = RewardSettings()


class PPOJob(StageJob):
    """One run of PPO; `model` is the policy at the start, and what it is held to."""

    reward: str
    """Export folder of the reward model."""
    replay: str | None = None
    """Token folder to mix pretraining text from; None: none."""
    settings: PPOSettings = PPOSettings()
