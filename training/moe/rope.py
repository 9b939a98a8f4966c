"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in halves as Hugging Face has it.

Shapes: B batch, T tokens, H heads, d head width, r dimensions that are rotated.
"""

from __future__ import annotations

import torch
from torch import Tensor


def angles(positions: Tensor, dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """(cos, sin) of each position for `dim` rotated dimensions, shape (…, T, r), float32.

    r is `dim`, rounded up to an even number: dimensions are turned in pairs.
    """
    exponent = torch.arange(0, dim, 2, dtype=torch.float32, device=positions.device) / dim
    turns = positions[..., None].float() * (1.0 / theta**exponent)
    turns = torch.cat([turns, turns], dim=-1)
    return turns.cos(), turns.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` (B, H, T, d) with its first r dimensions rotated by cos and sin (…, T, r)."""
    if cos.shape[-1] < x.shape[-1]:
        rest = x[..., cos.shape[-1] :]
        return torch.cat([rotate(x[..., : cos.shape[-1]], cos, sin), rest], dim=-1)
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin
