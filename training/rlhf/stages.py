"""The stages of alignment: everything that the other layers need to know of one is its entry here.

A new stage is one file with its objective and its run (`supervised.py` and `sft.py` in one, say),
one entry in `STAGES`, a field for its settings in `AlignSettings`, and one test. The command's
choices, the checks of its data, its process, its plots and its line in the reports derive from the
entry. Light to import: no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.training.curves import Curve
from headrace.training.rlhf.jobs import PPOJob, RewardJob, SFTJob, StageJob


@dataclass(frozen=True)
class AlignmentStage:
    """What is known of a stage before it runs."""

    name: str
    """As the command and the settings call it."""
    module: str
    """Module of its process, which trains by the stage's objective."""
    job: type[StageJob]
    """What the process is given."""
    columns: tuple[str, ...]
    """Text columns of its data."""
    measure: str
    """Name of its metric."""
    measured_by: str
    """That metric in words."""
    curves: tuple[Curve, ...]
    """Plots of its metrics.jsonl, the most telling first."""

    @property
    def needs_reward(self) -> bool:
        """Whether it trains by the scores of a reward model."""
        return "reward" in self.job.model_fields


SFT = AlignmentStage(
    name="sft",
    module="headrace.training.rlhf.sft",
    job=SFTJob,
    columns=("prompt", "response"),
    measure="bits_per_byte",
    measured_by="bits per byte of responses",
    curves=(
        Curve(
            "loss",
            {"loss": "responses", "language_loss": "replayed pretraining text"},
            "nats per token",
        ),
    ),
)
REWARD = AlignmentStage(
    name="reward",
    module="headrace.training.rlhf.reward_trainer",
    job=RewardJob,
    columns=("prompt", "chosen", "rejected"),
    measure="pairwise_accuracy",
    measured_by="pairs in the right order",
    curves=(Curve("loss", {"loss": "loss"}, "contrastive loss"),),
)
PPO = AlignmentStage(
    name="ppo",
    module="headrace.training.rlhf.ppo",
    job=PPOJob,
    columns=("prompt",),
    measure="gold_pass",
    measured_by="answers that pass the gold rule",  # nosec B105 # a metric
    curves=(
        Curve(
            "reward and kl",
            {"reward": "reward model", "kl": "KL to the SFT policy"},
            "per response",
        ),
    ),
)
STAGES: dict[str, AlignmentStage] = {stage.name: stage for stage in (SFT, REWARD, PPO)}
"""By name."""
