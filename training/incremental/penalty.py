"""The penalty of elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796, eq. 3).

loss(w) + λ/2 Σ_i F_i (w_i - w*_i)². With F per token in nats, ½ Σ F_i (w_i - w*_i)² approximates
how many nats per token the model has moved from the old one on old text (the KL divergence, to
second order and with the diagonal alone), so λ is what one such nat costs against one nat per token
of the new text's loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def penalty(model: nn.Module, anchor: Mapping[str, Tensor], fisher: Mapping[str, Tensor]) -> Tensor:
    """½ Σ F_i (w_i - w*_i)², a scalar in nats per token with a gradient; λ is the caller's.

    Args:
        model: its parameters are w; those without an entry in `fisher` are free.
        anchor: w*, the weights of the old model.
        fisher: F (`fisher.diagonal`).
    """
    total = torch.zeros(())
    for name, weight in model.named_parameters():
        if name in fisher:
            total = total + (fisher[name] * (weight - anchor[name]).square()).sum()
    return total / 2
