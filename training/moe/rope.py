"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in halves as Hugging Face has it.

Shapes: B batch, T tokens, H heads, d head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def angles(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """(cos, sin) of each position, shape (…, T, d), float32."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    turns = positions[..., None].float() * (1.0 / theta**exponent)
    turns = torch.cat([turns, turns], dim=-1)
    return turns.cos(), turns.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` (B, H, T, d) rotated by its positions; cos and sin broadcast to it."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin
