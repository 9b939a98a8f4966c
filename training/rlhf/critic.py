"""The value head, and actor and critic as one module to train and to save.

The critic reads the frozen reward model's states: they are computed for the score anyway, they
know what it looks at, and a head on them costs no second backward pass, nor does it pull at the
policy. It starts at zero: the reward head itself would take every unfinished answer for a broken
one, and so praise whatever token ends it. Unlike Ouyang et al. 2022, whose critic is a whole model
that starts from the reward model, only this head learns.

Shapes: B answers, A tokens of an answer, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW, adamw_group
from headrace.training.settings import OptimizerSettings


class ActorCritic(nn.Module):
    """The policy, and a linear value head on the reward model's states."""

    def __init__(self, policy: MoEForCausalLM) -> None:
        super().__init__()
        self.policy = policy
        self.critic = nn.Linear(policy.config.hidden_size, 1)
        nn.init.zeros_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    def values(self, states: Tensor) -> Tensor:
        """Values (B, A) of the reward model's states (B, A, D)."""
        values: Tensor = self.critic(states)
        return values.squeeze(-1)

    def freeze_routing(self) -> None:
        """Keep the routers' weights, so that fewer tokens go to other experts than when drawn.

        The states that they read still move, most by the norms' gains in front of them, which have
        the highest rate of all: this narrows the gap and doesn't close it (`rerouted` in
        metrics.jsonl; docs/alignment.md).
        """
        for router in self.policy.routers():
            router.weight.requires_grad_(False)

    def optimizer(
        self, settings: OptimizerSettings, gain_rate: float, critic_rate: float
    ) -> MuonAdamW:
        """AdamW over both, with peak rates of their own for the norms' gains and the critic.

        A round's gradient is mostly noise, and Adam makes full steps of noise. The few gains, each
        an average over all tokens, are the least noisy; they may move fastest.
        """
        trained = [p for p in self.policy.parameters() if p.requires_grad]
        groups = [
            ([p for p in trained if p.ndim > 1], settings.adamw_lr),
            ([p for p in trained if p.ndim == 1], gain_rate),
            (list(self.critic.parameters()), critic_rate),
        ]
        return MuonAdamW([adamw_group(params, rate) for params, rate in groups], settings)
