"""Feed-forward layers: SwiGLU (Shazeer 2020, arXiv:2002.05202), and the routed mixture of them.

No token is dropped: tokens are sorted by expert and one grouped matrix product serves all experts.

Shapes: N tokens, D width, E experts, M expert width, k experts a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.router import Router


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x` (…, D) to (…, D)."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Context(Protocol):
    saved_tensors: tuple[Tensor, ...]
    k: int

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class Dispatch(torch.autograd.Function):
    """Copies each token's row to the k places where its experts look for it.

    The gradient of a plain index_select adds k rows into one in the order of the index; gathered
    back and summed over k it is the same figure, faster and independent of threads.
    """

    @staticmethod
    def forward(ctx: _Context, x: Tensor, order: Tensor, back: Tensor, k: int) -> Tensor:
        """Row order[i] // k of `x` (N, D) at place i of (N·k, D); `back` undoes `order`."""
        ctx.save_for_backward(back)
        ctx.k = k
        return x.index_select(0, order // k)

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the sum over each row's k places."""
        (back,) = ctx.saved_tensors
        rows = grads[0].index_select(0, back)
        return rows.view(-1, ctx.k, rows.shape[1]).sum(1), None, None, None


dispatch: Callable[[Tensor, Tensor, Tensor, int], Tensor] = Dispatch.apply
"""`Dispatch` as a function."""


def inverse(order: Tensor) -> Tensor:
    """Return the permutation that undoes `order`."""
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return back


class Experts(nn.Module):
    """The weights of E experts, stacked: gate and up (E, 2M, D), down (E, D, M)."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        E, M, D = config.n_routed_experts, config.moe_intermediate_size, config.hidden_size
        self.number = E
        self.gate_up_proj = nn.Parameter(torch.empty(E, 2 * M, D))
        self.down_proj = nn.Parameter(torch.empty(E, D, M))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum over each token's experts: `x` (N, D), `chosen`, `weights` (N, k)."""
        N, k = chosen.shape
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        back = inverse(order)
        counts = torch.bincount(flat, minlength=self.number)
        out = self.each(dispatch(x, order, back, k), counts)
        out = out.index_select(0, back).view(N, k, -1)
        return (out * weights.to(out.dtype)[..., None]).sum(1)

    def each(self, rows: Tensor, counts: Tensor) -> Tensor:
        """Each expert's output of its rows: `rows` (n, D) by expert, `counts` (E,) of them."""
        ends = counts.cumsum(0).to(torch.int32)
        both = torch._grouped_mm(rows, self.gate_up_proj.transpose(1, 2), offs=ends)
        gate, up = both.chunk(2, dim=-1)
        return torch._grouped_mm(F.silu(gate) * up, self.down_proj.transpose(1, 2), offs=ends)


class MoELayer(nn.Module):
    """Routed experts plus the shared one: (B, T, D) to (B, T, D)."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        self.shared_experts = SwiGLU(
            config.hidden_size, config.moe_intermediate_size * config.n_shared_experts
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixture of `x`."""
        flat = x.reshape(-1, x.shape[-1])
        routed: Tensor = self.experts(flat, *self.gate(flat))
        shared: Tensor = self.shared_experts(x)
        return routed.view_as(x) + shared
