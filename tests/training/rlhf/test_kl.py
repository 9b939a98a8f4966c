"""Estimators of the divergence against sums over a small vocabulary; the controller."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.training.rlhf import kl


@given(seed=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_k1_and_k3_are_unbiased_for_the_exact_divergence(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(6, generator=g).double(), torch.randn(6, generator=g).double()
    p, q = a.log_softmax(0), b.log_softmax(0)
    true = sum(math.exp(p[i]) * float(p[i] - q[i]) for i in range(6))
    assert kl.exact(a, b).item() == pytest.approx(true, rel=1e-4, abs=1e-6)
    for estimate in (kl.k1, kl.k3):
        # The expectation over samples from p, taken over the whole vocabulary.
        assert (p.exp() * estimate(p, q)).sum().item() == pytest.approx(true, rel=1e-6, abs=1e-9)
    assert (kl.k3(p, q) >= 0).all()


def test_equal_policies_diverge_by_nothing() -> None:
    p = torch.randn(4, 5)
    assert (kl.k1(p, p) == 0).all()
    assert (kl.k3(p, p) == 0).all()
    assert kl.exact(p, p).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("divergence", "factor"), [(6.0, 1.0), (60.0, 1.02), (0.0, 0.98), (6.6, 1.01), (5.4, 0.99)]
)
def test_the_controller_follows_the_error_within_bounds(divergence: float, factor: float) -> None:
    control = kl.Controller(0.05, target=6.0, rate=0.1)
    control.update(divergence)
    assert control.coefficient == pytest.approx(0.05 * factor)


def test_the_controller_holds_a_system_at_its_target() -> None:
    control = kl.Controller(0.01, target=5.0, rate=0.5)
    divergence = 0.0
    for _ in range(400):
        divergence = 1.0 / control.coefficient  # stronger penalty, smaller divergence
        control.update(divergence)
    assert divergence == pytest.approx(5.0, rel=0.02)


def test_rate_zero_keeps_the_weight() -> None:
    control = kl.Controller(0.05, target=6.0, rate=0.0)
    control.update(100.0)
    assert control.coefficient == 0.05
