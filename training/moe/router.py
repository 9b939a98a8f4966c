"""Top-k routing by sigmoid scores, balanced by a selection bias instead of an auxiliary loss.

After DeepSeek-V3 (arXiv:2412.19437, section 2.1.2): the k experts of a token are those with the
largest sigmoid(x·w_e) + b_e, but their weights are the sigmoids alone. After every step b_e goes
up where expert e had fewer tokens than the mean, and down where it had more, by a fixed rate.

Shapes: N tokens, D width, E experts, k chosen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace.training.moe.config import MoEConfig


class Router(nn.Module):
    """Chooses experts, and counts how many tokens each had since the last `balance`."""

    load: Tensor
    e_score_correction_bias: Tensor

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        E = config.n_routed_experts
        self.k, self.scale, self.normalise = (
            config.num_experts_per_tok,
            config.routed_scaling_factor,
            config.norm_topk_prob,
        )
        self.weight = nn.Parameter(torch.empty(E, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(E))
        self.register_buffer("load", torch.zeros(E, dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(experts (N, k) int64, weights (N, k) float32) of tokens `x` (N, D)."""
        scores = F.linear(x.float(), self.weight.float()).sigmoid()
        with torch.no_grad():
            chosen = (scores + self.e_score_correction_bias).topk(self.k, dim=-1, sorted=False)[1]
        weights = scores.gather(1, chosen)
        if self.normalise:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        if self.training:
            self.load += torch.bincount(chosen.flatten(), minlength=len(self.load))
        return chosen, weights * self.scale

    @torch.no_grad()
    def balance(self, rate: float) -> Tensor:
        """Return each expert's tokens (E,); move the bias by `rate` and start a new count."""
        load = self.load.clone()
        counts = load.float()
        self.e_score_correction_bias += rate * (counts.mean() - counts).sign()
        self.load.zero_()
        return load
