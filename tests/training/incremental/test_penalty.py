from __future__ import annotations

import pytest
import torch
from torch import nn

from headrace.training.incremental.penalty import penalty


def model(values: list[float]) -> nn.Linear:
    out = nn.Linear(len(values), 1)
    with torch.no_grad():
        out.weight[:] = torch.tensor([values])
        out.bias[:] = 9.0
    return out


def test_penalty_and_its_gradient_are_those_of_the_equation() -> None:
    anchor = {"weight": torch.tensor([[1.0, 2.0, 3.0]])}
    fisher = {"weight": torch.tensor([[0.5, 0.0, 2.0]])}
    w = model([2.0, 7.0, 2.5])
    value = penalty(w, anchor, fisher)
    assert value.item() == pytest.approx((0.5 * 1**2 + 0.0 * 5**2 + 2.0 * 0.5**2) / 2)
    value.backward()
    assert w.weight.grad.tolist() == [[0.5 * 1.0, 0.0, 2.0 * -0.5]]
    assert w.bias.grad is None  # without an entry in the Fisher a weight is free


def test_old_weights_cost_nothing() -> None:
    w = model([1.0, 2.0])
    anchor = {n: p.detach().clone() for n, p in w.named_parameters()}
    fisher = {n: torch.ones_like(p) for n, p in w.named_parameters()}
    value = penalty(w, anchor, fisher)
    assert value.item() == 0
    value.backward()
    assert not w.weight.grad.any()


def test_penalty_approximates_the_divergence_on_old_text() -> None:
    """A softmax whose logits are the weights: ½ΣF(w-w*)² is near KL for a small move."""
    logits = torch.tensor([0.3, -0.2, 0.8, 0.0])
    p = logits.softmax(0)
    fisher = {"logits": p * (1 - p)}  # diagonal of the Fisher of a categorical in its logits
    moved = nn.ParameterDict({"logits": logits + torch.tensor([0.0, 0.0, 0.02, 0.0])})
    divergence = (p * (p.log() - moved["logits"].log_softmax(0))).sum().item()
    got = penalty(moved, {"logits": logits}, fisher).item()
    assert got == pytest.approx(divergence, rel=0.02)
