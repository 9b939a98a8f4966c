"""The value head starts at zero, learns returns, and one optimizer moves it and the policy."""

from __future__ import annotations

import torch

from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import set_rate
from headrace.training.rlhf.critic import ActorCritic
from headrace.training.settings import OptimizerSettings


def test_the_first_values_are_zero(model: MoEForCausalLM) -> None:
    values = ActorCritic(model).values(torch.randn(2, 3, 32))
    assert values.shape == (2, 3)
    assert (values == 0).all()


def test_the_critic_learns_and_the_routers_stay(model: MoEForCausalLM) -> None:
    actor = ActorCritic(model)
    actor.freeze_routing()
    optimizer = actor.optimizer(OptimizerSettings(muon_lr=0.0, adamw_lr=1e-3), 1e-2, 0.1)
    before = {n: p.detach().clone() for n, p in actor.named_parameters()}
    set_rate(optimizer, 5, 10)
    loss = actor.policy(torch.randint(5, 200, (2, 7))).square().mean()
    loss = loss + (actor.values(torch.randn(2, 3, 32)) - 1).square().mean()
    loss.backward()
    optimizer.step()
    moved = {n for n, p in actor.named_parameters() if not torch.equal(p, before[n])}
    assert "critic.weight" in moved
    assert "policy.model.layers.1.mlp.experts.down_proj" in moved
    assert not any("mlp.gate.weight" in n for n in moved)
    assert (actor.values(torch.ones(1, 1, 32)) != 0).all()
