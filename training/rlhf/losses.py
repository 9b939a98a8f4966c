"""The losses of the three stages, as plain functions of tensors.

Shapes: B answers, T positions of a padded answer, V vocabulary. `mask` is 1 where a token counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` over the positions where `mask` is 1; 0 where there is none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target (B, T) under `logits` (B, T, V), in nats."""
    flat = F.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none"
    )
    return -flat.view_as(targets)


def supervised(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log-likelihood of the targets that `mask` counts: the responses' tokens."""
    return -masked_mean(token_logprobs(logits, targets), mask)


def preference(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Negative log-likelihood of the preferences under the Bradley-Terry model.

    -log sigma(r_chosen - r_rejected), mean over the pairs (Ouyang et al. 2022, equation 1).
    """
    return -F.logsigmoid(chosen - rejected).mean()


def clipped_policy(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """(loss, share of tokens clipped) of PPO's surrogate objective (Schulman 2017, equation 7).

    The loss is -min(ratio * A, clip(ratio, 1 - epsilon, 1 + epsilon) * A), mean over tokens.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    plain = ratio * advantages
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon) * advantages
    share = masked_mean((clipped < plain).float(), mask).detach()
    return -masked_mean(torch.minimum(plain, clipped), mask), share


def clipped_value(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, epsilon: float
) -> Tensor:
    """Squared error of the values, half of it, not rewarded for moves beyond `epsilon`.

    The larger of the errors of the value and of the value clipped to `epsilon` around the old one.
    """
    near = old_values + (values - old_values).clamp(-epsilon, epsilon)
    worse = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * masked_mean(worse, mask)
