"""The Fisher diagonal against sums over all labels, on a model small enough for that."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from headrace.training.incremental import fisher
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM

V = 5


class Tiny(nn.Module):
    """A language model of a few dozen weights; logits depend on all tokens so far."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Embedding(V, 3)
        self.head = nn.Linear(3, V)

    def forward(self, ids: Tensor) -> Tensor:
        out: torch.Tensor = self.head(torch.tanh(self.embed(ids).cumsum(1)))
        return out


def exact(model: nn.Module, ids: Tensor) -> dict[str, Tensor]:
    """Mean over tokens of E_y (d log p(y))^2, a gradient for each token and label."""
    weights = dict(model.named_parameters())
    total = {n: torch.zeros_like(p) for n, p in weights.items()}
    log_p = model(ids).flatten(0, 1).log_softmax(-1)
    for row in log_p:
        for y in range(row.numel()):
            grads = torch.autograd.grad(
                row[y], list(weights.values()), retain_graph=True, allow_unused=True
            )
            for name, grad in zip(weights, grads, strict=True):
                if grad is not None:
                    total[name] += row[y].exp().detach() * grad**2
    return {n: t / ids.numel() for n, t in total.items()}


IDS = torch.tensor([[0, 3, 1], [2, 2, 4]])


def test_estimate_goes_to_the_exact_fisher() -> None:
    model = Tiny()
    want, got = exact(model, IDS), fisher.diagonal(model, [IDS] * 3000, seed=1)
    for name in want:
        # A squared sum has a relative deviation near √2 a batch: √2/√3000 = .026, times four.
        torch.testing.assert_close(got[name], want[name], rtol=0.1, atol=1e-4)


def test_one_backward_pass_a_batch_is_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all labels of two tokens, weighted by their probability: exactly the sum of squares."""
    model, ids = Tiny(), IDS[:1, :2]
    log_p = model(ids).flatten(0, 1).log_softmax(-1).detach()
    mean = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for labels in itertools.product(range(V), repeat=2):
        drawn = torch.tensor(labels)[:, None]
        monkeypatch.setattr(torch, "multinomial", lambda *_, drawn=drawn, **__: drawn)
        weight = log_p.gather(1, drawn).sum().exp()
        for name, value in fisher.diagonal(model, [ids], seed=1).items():
            mean[name] += weight * value
    for name, value in exact(model, ids).items():
        torch.testing.assert_close(mean[name], value, rtol=1e-4, atol=1e-7)


def test_same_seed_same_bits_and_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = MoEForCausalLM(
        MoEConfig(
            vocab_size=V,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            intermediate_size=16,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=8,
            max_position_embeddings=8,
        )
    )
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    one, two, other = (fisher.diagonal(model, [IDS, IDS], seed=s) for s in (1, 1, 2))
    assert one.keys() == before.keys()
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert not all(torch.equal(one[n], other[n]) for n in one)
    assert all((t >= 0).all() for t in one.values()) and any(t.sum() > 0 for t in one.values())
    assert all(torch.equal(before[n], p) and p.grad is None for n, p in model.named_parameters())
