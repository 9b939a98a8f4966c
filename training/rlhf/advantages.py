"""Advantages of the tokens of an answer: rewards a token, GAE, whitening.

Shapes: B answers, T positions; `mask` (B, T) is 1 on an answer's tokens, which stand together at
the left: 1…1 0…0. What lies behind the last token is a terminal state of value 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Reward of each token (B, T): the KL penalty everywhere, the score on the last token.

    r_t = -coefficient * kl_t + [t is last] * score (Ouyang et al. 2022, equation 2, a token).
    An answer without tokens has no reward.
    """
    rewards = -coefficient * kl * mask
    last = mask.sum(1).long() - 1
    rows = torch.nonzero(last >= 0).squeeze(1)
    rewards[rows, last[rows]] += scores[rows]
    return rewards


def generalised(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """(advantages, returns), each (B, T), by Schulman et al. 2016, equations 11 and 12.

    delta_t = r_t + gamma * V_(t+1) - V_t, A_t = delta_t + gamma * lam * A_(t+1); returns A + V.
    """
    values = values * mask
    advantages = torch.zeros_like(values)
    after = torch.zeros_like(values[:, 0])
    value_after = torch.zeros_like(after)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        after = (delta + gamma * lam * after) * mask[:, t]
        advantages[:, t] = after
        value_after = values[:, t]
    return advantages, advantages + values


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with mean 0 and variance 1 over the positions that `mask` counts, 0 elsewhere."""
    n = mask.sum().clamp(min=1)
    mean = (x * mask).sum() / n
    variance = (((x - mean) ** 2) * mask).sum() / n
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask
