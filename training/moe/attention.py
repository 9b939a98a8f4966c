"""Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245) with QK-norm and a cache.

Shapes: B batch, T new tokens, S tokens seen so far with them, H query heads, G key heads, d head
width, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.rope import rotate


class Cache:
    """Keys and values of all layers for `rows` sequences of up to `length` tokens."""

    def __init__(self, config: MoEConfig, rows: int, length: int, dtype: torch.dtype) -> None:
        shape = (rows, config.num_key_value_heads, length, config.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.zeros(shape, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.seen = 0

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values (B, G, S, d) of a layer, the new ones (B, G, T, d) appended."""
        end = self.seen + key.shape[2]
        self.keys[layer][:, :, self.seen : end] = key
        self.values[layer][:, :, self.seen : end] = value
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Forget all sequences but `rows` (indices)."""
        self.keys = [k.index_select(0, rows) for k in self.keys]
        self.values = [v.index_select(0, rows) for v in self.values]


class Attention(nn.Module):
    """One layer's attention: (B, T, D) to (B, T, D)."""

    def __init__(self, config: MoEConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.heads, self.groups, self.width = (
            layer,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        D, d, bias = config.hidden_size, config.head_dim, config.attention_bias
        self.q_proj = nn.Linear(D, self.heads * d, bias=bias)
        self.k_proj = nn.Linear(D, self.groups * d, bias=bias)
        self.v_proj = nn.Linear(D, self.groups * d, bias=bias)
        self.o_proj = nn.Linear(self.heads * d, D, bias=False)
        norm = config.use_qk_norm
        self.q_norm = nn.RMSNorm(d, eps=config.rms_norm_eps) if norm else nn.Identity()
        self.k_norm = nn.RMSNorm(d, eps=config.rms_norm_eps) if norm else nn.Identity()

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        """Attention of `x`; `mask` (B, 1, T, S) is true where a key may be seen, None: causal."""
        B, T, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, self.heads, self.width)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(B, T, self.groups, self.width)).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.groups, self.width).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.update(self.layer, k, v)
        causal = mask is None and T > 1
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.heads != self.groups
        )
        projected: Tensor = self.o_proj(out.transpose(1, 2).reshape(B, T, -1))
        return projected
