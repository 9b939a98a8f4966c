"""Settings of the three alignment stages, as they stand under `align` in a run's settings."""

from __future__ import annotations

from headrace.infra.settings import Settings


class Rates(Settings):
    """Learning rates of a stage for MuonAdamW (training/optimizer.py), below pretraining's."""

    muon_lr: float = 0.005
    """Peak learning rate of the matrices (Muon); 0 gives them to AdamW."""
    adamw_lr: float = 2e-3
    """Peak learning rate of everything else (AdamW)."""
    warmup: float = 0.1
    """Share of the steps in which the rates climb from 0."""
    final: float = 0.1
    """Share of the peak at the last step."""


class Saving(Settings):
    """When to save a checkpoint, and how many to keep."""

    every: int = 50
    """Steps between two checkpoints; the last step always has one."""
    keep: int = 2
    """Newest checkpoints kept."""


class DeriveSettings(Settings):
    """How much alignment data is taken from a release, and how long its texts are."""

    sft: int = 6000
    """Most pairs of prompt and response for supervised fine-tuning."""
    reward: int = 5000
    """Most preference pairs for the reward model."""
    ppo: int = 3000
    """Most prompts for PPO."""
    heldout: int = 320
    """Most held-out items of each stage."""
    per_document: int = 6
    """Most items taken from one document."""
    max_beginning_bytes: int = 150
    """Longest beginning of a text that a prompt quotes, in bytes of UTF-8."""
    max_response_bytes: int = 110
    """Longest response in bytes of UTF-8, so that it fits into a rollout."""
    min_items: int = 16
    """Fewest items of a stage, of its training or of its held-out part, that are enough."""


class SFTSettings(Settings):
    """Supervised fine-tuning: the loss counts on the response only."""

    steps: int = 120
    """Optimiser steps."""
    batch: int = 24
    """Pairs a step."""
    replay_rows: int = 4
    """Rows of pretraining text mixed into each step, so that the language model stays one."""
    optimizer: Rates = Rates()
    """Learning rates and their course."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    checkpoint: Saving = Saving()
    """When to save."""
    heldout: float = 0.1
    """Share of the prompts held out, by hash, where the data come without a held-out file."""


class RewardSettings(Settings):
    """The reward model: a scalar head on the SFT model, trained on preference pairs."""

    steps: int = 90
    """Optimiser steps."""
    batch: int = 24
    """Preference pairs a step."""
    sampled: int = 512
    """Prompts of the training pairs that the SFT model answers too: its answers are set against
    the chosen ones as further pairs, so that the reward model has seen what it will judge. 0: none;
    only for data whose chosen answers are better than the SFT model's own."""
    max_new_tokens: int = 48
    """Longest of those answers, in tokens."""
    optimizer: Rates = Rates()
    """Learning rates and their course."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    checkpoint: Saving = Saving()
    """When to save."""
    heldout: float = 0.1
    """Share of the prompts held out, by hash, where the data come without a held-out file."""


class KLSettings(Settings):
    """The penalty for leaving the SFT policy (Ziegler et al. 2019, section 2.2)."""

    coefficient: float = 0.04
    """Weight of the per-token penalty at the start, in units of the reward's deviation a nat."""
    target: float = 5.0
    """Divergence of a whole response, in nats, that the controller steers to."""
    rate: float = 0.1
    """How fast the weight follows; 0 keeps it as it is."""


class PPOSettings(Settings):
    """PPO (Schulman et al. 2017) as in InstructGPT (Ouyang et al. 2022)."""

    iterations: int = 20
    """Rounds of rollouts and updates."""
    rollouts: int = 64
    """Prompts answered in a round."""
    minibatch: int = 32
    """Answers in one optimiser step."""
    epochs: int = 2
    """Passes over a round's answers."""
    max_new_tokens: int = 48
    """Longest answer, in tokens."""
    temperature: float = 1.0
    """Temperature of the rollouts; the update sees the same distribution."""
    optimizer: Rates = Rates(muon_lr=0.0, adamw_lr=8e-4, final=0.3)
    """Learning rates of the policy; Muon's steps don't shrink with the gradient, so AdamW alone."""
    critic_learning_rate: float = 5e-3
    """Learning rate of the value head."""
    clip_ratio: float = 0.2
    """How far a token's probability ratio may move with effect (epsilon)."""
    clip_value: float = 0.5
    """How far a value estimate may move with effect."""
    gamma: float = 1.0
    """Discount a token."""
    lam: float = 0.95
    """Lambda of generalised advantage estimation (Schulman et al. 2016)."""
    stop_kl: float = 0.05
    """Mean divergence a token from the rollout's policy at which a round's updates end early."""
    reward_clip: float = 4.0
    """Largest absolute score of the reward model that counts, in its standard deviations."""
    replay_rows: int = 3
    """Rows of pretraining text in each step (PPO-ptx of Ouyang et al. 2022)."""
    replay_weight: float = 0.5
    """Weight of their loss."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    kl: KLSettings = KLSettings()
    evaluation_samples: int = 2
    """Answers to each held-out prompt, with fixed seeds, before and after."""
    checkpoint: Saving = Saving(every=5)
    """When to save; a step is a round."""
    heldout: float = 0.1
    """Share of the prompts held out, by hash, where the data come without a held-out file."""


class AlignSettings(Settings):
    """Alignment as a whole: data derived from the release, then the three stages."""

    derive: DeriveSettings = DeriveSettings()
    sft: SFTSettings = SFTSettings()
    reward: RewardSettings = RewardSettings()
    ppo: PPOSettings = PPOSettings()
