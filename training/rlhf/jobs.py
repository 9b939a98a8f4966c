"""The jobs of the three stages: what a stage's process is given. Light to import: no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.infra.settings import Settings
from headrace.training.rlhf.settings import PPOSettings, RewardSettings, SFTSettings


class SFTJob(Settings):
    """One run of supervised fine-tuning."""

    model: str
    """Export folder of the base model."""
    data: str
    """File or folder with `prompt` and `response` (examples.py)."""
    output: str
    """Folder of the run."""
    replay: str | None = None
    """Token folder to mix pretraining text from; None: none."""
    settings: SFTSettings = SFTSettings()
    seed: int = 0
    """Seed of everything random."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """Goes into the export's lineage.json and card."""


class RewardJob(Settings):
    """One training of a reward model."""

    model: str
    """Export folder of the SFT model."""
    data: str
    """File or folder with `prompt`, `chosen`, `rejected` (examples.py)."""
    output: str
    """Folder of the run."""
    settings: RewardSettings = RewardSettings()
    seed: int = 0
    """Seed of everything random."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """Goes into the export's lineage.json and card."""


class PPOJob(Settings):
    """One run of PPO."""

    model: str
    """Export folder of the SFT model: the policy at the start, and what it is held to."""
    reward: str
    """Export folder of the reward model."""
    data: str
    """File or folder with `prompt` (examples.py)."""
    output: str
    """Folder of the run."""
    replay: str | None = None
    """Token folder to mix pretraining text from; None: none."""
    settings: PPOSettings = PPOSettings()
    seed: int = 0
    """Seed of everything random."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """Goes into the export's lineage.json and card."""
