"""Divergence from the SFT policy: estimators from samples, and the controller of the penalty."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Return log p(x) - log q(x) at x sampled from p: unbiased for KL(p, q), and of either sign.

    Schulman, "Approximating KL divergence" (2020), which also names the next one.
    """
    return logprobs - reference


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """(r - 1) - log r with r = q(x) / p(x) at x from p: unbiased too, and never negative."""
    log_ratio = reference - logprobs
    return log_ratio.expm1() - log_ratio


def exact(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(p, q) at each position, in nats, from the logits (..., V) of p and of q."""
    p, q = logits.float().log_softmax(-1), reference.float().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


@dataclass
class Controller:
    """The weight of the penalty, steered so that the divergence stays near a target.

    Ziegler et al. 2019, section 2.2: e = clip((KL - target) / target, -0.2, 0.2), then the weight
    is multiplied by 1 + rate * e. Rate 0 keeps the weight fixed.
    """

    coefficient: float
    target: float
    rate: float

    def update(self, divergence: float) -> None:
        """Take in the divergence of the last round's answers, in nats an answer."""
        error = min(max((divergence - self.target) / self.target, -0.2), 0.2)
        self.coefficient *= 1 + self.rate * error
