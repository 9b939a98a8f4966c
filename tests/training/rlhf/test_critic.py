"""The value head starts as the reward head, and one optimizer moves both."""

from __future__ import annotations

import torch

from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import OptimizerSettings, set_rate
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.rlhf.scalar import ScalarModel


def both(model: MoEForCausalLM) -> tuple[ActorCritic, ScalarModel]:
    reward = ScalarModel(model)
    torch.nn.init.normal_(reward.head.weight)
    reward.mean.fill_(0.4)
    reward.std.fill_(1.7)
    return ActorCritic(model, reward), reward


def test_the_first_value_is_the_score_so_far(model: MoEForCausalLM) -> None:
    actor, reward = both(model)
    ids = torch.randint(5, 200, (2, 7))
    with torch.no_grad():
        values = actor.values(reward.states(ids))
        for t in range(7):
            expected = reward.scaled(reward(ids, torch.full((2,), t)))
            torch.testing.assert_close(values[:, t], expected, atol=1e-5, rtol=1e-4)


def test_the_critic_learns_and_the_routers_stay(model: MoEForCausalLM) -> None:
    actor, _ = both(model)
    actor.freeze_routing()
    optimizer = actor.optimizer(OptimizerSettings(muon_lr=0.0, adamw_lr=1e-3), 0.1)
    before = {n: p.detach().clone() for n, p in actor.named_parameters()}
    set_rate(optimizer, 5, 10)
    loss = actor.policy(torch.randint(5, 200, (2, 7))).square().mean()
    loss = loss + actor.values(torch.randn(2, 3, 32)).square().mean()
    loss.backward()
    optimizer.step()
    moved = {n for n, p in actor.named_parameters() if not torch.equal(p, before[n])}
    assert "critic.weight" in moved
    assert "policy.model.layers.1.mlp.experts.down_proj" in moved
    assert not any("mlp.gate.weight" in n for n in moved)
