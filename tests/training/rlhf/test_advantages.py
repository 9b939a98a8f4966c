"""Rewards a token, GAE and whitening against their definitions, summed out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.training.rlhf import advantages


def case(seed: int, lengths: list[int], T: int = 6) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    mask = (torch.arange(T) < torch.tensor(lengths)[:, None]).float()
    rewards = torch.randn(len(lengths), T, generator=g) * mask
    values = torch.randn(len(lengths), T, generator=g)
    return rewards, values, mask


@given(
    seed=st.integers(0, 500),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    gamma=st.sampled_from([1.0, 0.9]),
    lam=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_gae_is_the_weighted_sum_of_all_later_errors(
    seed: int, lengths: list[int], gamma: float, lam: float
) -> None:
    rewards, values, mask = case(seed, lengths)
    got, returns = advantages.generalised(rewards, values, mask, gamma, lam)
    for b, length in enumerate(lengths):
        r, v = rewards[b].tolist(), [*values[b, :length].tolist(), 0.0]
        for t in range(6):
            expected = sum(
                (gamma * lam) ** (later - t) * (r[later] + gamma * v[later + 1] - v[later])
                for later in range(t, length)
            )
            assert got[b, t].item() == pytest.approx(expected, abs=1e-5)
            value = v[t] if t < length else 0.0
            assert returns[b, t].item() == pytest.approx(expected + value, abs=1e-5)


def test_lambda_one_is_return_minus_value() -> None:
    rewards, values, mask = case(3, [6, 4])
    got, returns = advantages.generalised(rewards, values, mask, 1.0, 1.0)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns, to_go * mask)
    torch.testing.assert_close(got, (to_go - values) * mask)


def test_the_score_stands_on_the_last_token_and_the_penalty_on_all() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    kl = torch.tensor([[0.5, -0.1, 9.0], [0.2, 0.3, 0.4], [7.0, 7.0, 7.0]])
    got = advantages.token_rewards(torch.tensor([2.0, -1.0, 5.0]), kl, mask, 0.1)
    expected = torch.tensor([[-0.05, 2.01, 0.0], [-0.02, -0.03, -1.04], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(got, expected)


@given(seed=st.integers(0, 200), lengths=st.lists(st.integers(1, 6), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_whitened_values_have_mean_zero_and_variance_one(seed: int, lengths: list[int]) -> None:
    x, _, mask = case(seed, lengths)
    white = advantages.whiten(x * 3 + 2, mask)
    kept = white[mask.bool()]
    assert kept.mean().item() == pytest.approx(0, abs=1e-4)
    assert kept.var(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    assert (white[~mask.bool()] == 0).all()


def test_whitening_equal_values_gives_zeros() -> None:
    white = advantages.whiten(torch.full((2, 3), 4.0), torch.ones(2, 3))
    assert (white.abs() < 1e-3).all()
