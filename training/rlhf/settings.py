"""Settings of the three alignment stages, as they stand under `align` in a run's settings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.training.identity import Names, TrainingSettings
from headrace.training.rlhf.data.settings import DeriveSettings
from headrace.training.settings import CheckpointSettings, OptimizerSettings


class Rates(OptimizerSettings):
    """Those of pretraining, slower and not down to 0."""

    muon_lr: float = Field(default=0.005, ge=0)
    """Peak learning rate of the matrices (Muon); 0 gives them to AdamW."""
    adamw_lr: float = Field(default=2e-3, gt=0)
    """Peak learning rate of everything else (AdamW)."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps in which the rates climb from 0."""
    final: float = Field(default=0.1, ge=0, le=1)
    """Share of the peak to which the rates fall in a straight line; the last step is one short of
    it."""


class Saving(CheckpointSettings):
    """When to save a checkpoint, and how many to keep."""

    every: int = Field(default=50, ge=1)
    """Steps between two checkpoints; the last step always has one."""


class StageSettings(TrainingSettings):
    """Settings that every stage has."""

    heldout: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts held out, by hash, where the data come without a held-out file."""


class SFTSettings(StageSettings):
    """Supervised fine-tuning: the loss counts on the response only."""

    steps: int = Field(default=120, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=24, ge=1)
    """Pairs per step."""
    replay_rows: int = Field(default=12, ge=0)
    """Rows of pretraining text mixed into each step, so that the language model stays one."""
    optimizer: Rates = Rates(muon_lr=0.002, adamw_lr=2e-3, embedding_lr=0.01)
    """Learning rates and their course."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient."""
    checkpoint: Saving = Saving()
    """When to save."""


class RewardSettings(StageSettings):
    """The reward model: a scalar head on the SFT model, trained on preference pairs."""

    steps: int = Field(default=70, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=24, ge=1)
    """Preference pairs per step."""
    sampled: int = Field(default=256, ge=0)
    """Prompts of the training pairs that the SFT model answers too. Its answers are set against
    the chosen ones in a quarter of each step's pairs, so that the reward model has seen what it
    will judge. 0: none; for data whose chosen answers are no better than the SFT model's own."""
    max_new_tokens: int = Field(default=48, ge=1)
    """Longest of those answers, in tokens."""
    optimizer: Rates = Rates(muon_lr=0.01, adamw_lr=3e-3, warmup=0.05)
    """Learning rates and their course."""
    head_learning_rate: float = Field(default=2e-2, gt=0)
    """Peak learning rate of the scalar head."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient."""
    checkpoint: Saving = Saving()
    """When to save."""


class KLSettings(Settings):
    """The penalty for leaving the SFT policy (Ziegler et al. 2019, section 2.2)."""

    coefficient: float = Field(default=0.02, ge=0)
    """Weight of the per-token penalty at the start, in units of the reward's deviation a nat."""
    target: float = Field(default=8.0, gt=0)
    """Divergence of a whole response, in nats, that the controller steers to."""
    rate: float = Field(default=0.1, ge=0)
    """How fast the weight follows; 0 keeps it as it is."""


class PPOSettings(StageSettings):
    """PPO (Schulman et al. 2017) as in InstructGPT (Ouyang et al. 2022)."""

    FIGURES: ClassVar[Names] = frozenset({"evaluation_samples"})

    iterations: int = Field(default=22, ge=1)
    """Rounds of rollouts and updates."""
    rollouts: int = Field(default=64, ge=1)
    """Prompts answered in a round."""
    minibatch: int = Field(default=32, ge=1)
    """Answers in one optimiser step."""
    epochs: int = Field(default=2, ge=1)
    """Passes over a round's answers."""
    max_new_tokens: int = Field(default=48, ge=1)
    """Longest answer, in tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the rollouts; the update sees the same distribution."""
    optimizer: Rates = Rates(muon_lr=0.0, adamw_lr=5e-4, final=0.5)
    """Learning rates of the policy; Muon's steps don't shrink with the gradient, so AdamW alone."""
    gain_learning_rate: float = Field(default=1e-2, gt=0)
    """Learning rate of the policy's norm gains (critic.py says why they have their own)."""
    critic_learning_rate: float = Field(default=5e-3, gt=0)
    """Learning rate of the value head."""
    clip_ratio: float = Field(default=0.2, gt=0, lt=1)
    """How far a token's probability ratio may move with effect (epsilon)."""
    clip_value: float = Field(default=0.5, gt=0)
    """How far a value estimate may move with effect."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation (Schulman et al. 2016)."""
    stop_kl: float = Field(default=0.05, gt=0)
    """Mean divergence per token from the rollout's policy at which a round's updates end early."""
    reward_clip: float = Field(default=4.0, gt=0)
    """Largest absolute score of the reward model that counts, in its standard deviations."""
    replay_rows: int = Field(default=3, ge=0)
    """Rows of pretraining text in each step (PPO-ptx of Ouyang et al. 2022)."""
    replay_weight: float = Field(default=0.5, ge=0)
    """Weight of their loss."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient."""
    kl: KLSettings = KLSettings()
    evaluation_samples: int = Field(default=2, ge=1)
    """Answers to each held-out prompt, with fixed seeds, before and after."""
    checkpoint: Saving = Saving(every=5)
    """When to save; a step is a round."""


class AlignSettings(Settings):
    """Alignment as a whole: data derived from the release, then the three stages."""

    derive: DeriveSettings = DeriveSettings()
    sft: SFTSettings = SFTSettings()
    reward: RewardSettings = RewardSettings()
    ppo: PPOSettings = PPOSettings()
