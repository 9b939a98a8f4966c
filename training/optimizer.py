"""Muon for the matrices, AdamW for the rest, as one optimizer; and the learning rate over time.

Muon (K. Jordan, https://kellerjordan.github.io/posts/muon): the update of a matrix is its momentum
with all singular values brought near 1 by a quintic Newton-Schulz iteration. Each expert's gate,
up and down projection is a separate matrix; matrices of one shape go through the iteration as
one batched product, which is what makes it cheap for many small experts. AdamW: Loshchilov and
Hutter 2019 (arXiv:1711.05101). A matrix's step is scaled by √max(1, rows/columns), as Jordan does.

What got no gradient in a step is not moved by it, nor decayed: an expert without tokens, its row of
the router, an embedding row outside the batch. Muon gives each update full size however small the
momentum has become, so an idle expert would keep moving in the direction of its last tokens.
Its momentum fades in the meantime, so that the first tokens after a long pause decide alone. And
a matrix whose update has become small against its own running mean, as where next to no tokens come
any more, moves by as much less (for some hundred steps, until the mean has followed).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import torch
from torch import Tensor, nn

from headrace.training.settings import OptimizerSettings

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's coefficients: the steepest slope at 0 that still keeps all of [0, 1] near 1."""


def orthogonalize(batch: Tensor, steps: int = 5) -> Tensor:
    """Each matrix of `batch` (n, rows, cols) with its singular values brought near 1."""
    a, b, c = _QUINTIC
    tall = batch.shape[1] > batch.shape[2]
    x = batch.mT if tall else batch
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Group(TypedDict):
    """Parameters that are updated alike."""

    params: list[Tensor]
    kind: Literal["muon", "adamw"]
    peak: float
    """Largest learning rate."""
    lr: float
    """Learning rate of the step."""
    parts: NotRequired[int]
    """Muon: matrices that are stacked in each of a parameter's."""


class MuonAdamW(torch.optim.Optimizer):
    """Groups of kind `muon` (matrices; `parts` are stacked in each) and `adamw`.

    State of a parameter: `momentum` and `size` (mean square norm of each matrix's updates), or
    `mean`, `square` and `step`; all tensors, so that a checkpoint is a plain table of tensors.
    """

    def __init__(self, groups: Sequence[Group], settings: OptimizerSettings) -> None:
        self.settings = settings
        super().__init__([{**group} for group in groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients that are there."""
        assert closure is None
        for group in self.param_groups:
            with_grad = [p for p in group["params"] if p.grad is not None]
            if group["kind"] == "muon":
                self._muon(with_grad, group["lr"], group["parts"])
            else:
                self._adamw(with_grad, group["lr"])

    def _muon(self, params: list[Tensor], lr: float, parts: int) -> None:
        beta, decay = self.settings.momentum, self.settings.weight_decay
        shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor, Tensor, Tensor]]]
        shapes = defaultdict(list)
        for p in params:
            state = self.state[p]
            matrices = p.shape[0] if p.ndim > 2 else 1
            if not state:
                state["momentum"] = torch.zeros_like(p)
                state["size"] = p.new_zeros(matrices, parts)
            assert p.grad is not None
            state["momentum"].lerp_(p.grad, 1 - beta)
            step = torch.lerp(p.grad, state["momentum"], beta)
            views = zip(*(_matrices(x, parts) for x in (p, step, p.grad.contiguous())), strict=True)
            for number, (view, update, gradient) in enumerate(views):
                moves = live(gradient)
                share = self._share(update, moves, state["size"][:, number])
                shapes[view.shape[1], view.shape[2]].append((view, update, moves, share))
        for (rows, cols), found in shapes.items():
            flat = orthogonalize(torch.cat([update for _, update, *_ in found]))
            scale = lr * max(1.0, rows / cols) ** 0.5
            for (view, _, moves, share), update in zip(
                found, torch.split(flat, [len(view) for view, *_ in found]), strict=True
            ):
                if decay:
                    view.mul_(1 - lr * decay * moves)
                view.sub_(update * share, alpha=scale)

    def _share(self, update: Tensor, moves: Tensor, size: Tensor) -> Tensor:
        """Share of a full step that each matrix makes (n, 1, 1): 1, less where it fades, or 0.

        `size` (n,) is the running mean square norm of its updates, over steps with a gradient.
        """
        square = update.square().sum(dim=(1, 2))
        size.lerp_(square, (1 - self.settings.betas[1]) * moves.flatten())
        return (square / size.clamp(min=1e-30)).sqrt().clamp(max=1).view_as(moves) * moves

    def _adamw(self, params: list[Tensor], lr: float) -> None:
        (b1, b2), decay = self.settings.betas, self.settings.weight_decay
        for p in params:
            state = self.state[p]
            if not state:
                state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
                state["step"] = torch.zeros((), dtype=torch.float64)
            assert p.grad is not None
            state["step"] += 1
            n = float(state["step"])
            state["mean"].lerp_(p.grad, 1 - b1)
            state["square"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            moves = live(p.grad)
            if decay and p.ndim > 1:
                p.mul_(1 - lr * decay * moves)
            root = (state["square"] / (1 - b2**n)).sqrt_().add_(1e-8)
            p.addcdiv_(state["mean"] * moves, root, value=-lr / (1 - b1**n))


def live(gradient: Tensor) -> Tensor:
    """1 for each slice along the first dimension with a gradient other than 0, else 0.

    A slice is an expert's matrix, or a row; of less than two dimensions it is the whole. The shape
    is such that the result multiplies the gradient.
    """
    if gradient.ndim < 2:
        return gradient.any().to(gradient.dtype)
    some = gradient.flatten(1).any(1).to(gradient.dtype)
    return some.view(-1, *[1] * (gradient.ndim - 1))


def _matrices(p: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Return views (n, rows, cols) of a parameter's matrices."""
    return p.view(-1, *p.shape[-2:]).chunk(parts, dim=1)


def adamw_group(params: Iterable[Tensor], rate: float) -> Group:
    """Return a group that AdamW updates at a peak rate."""
    return Group(params=list(params), kind="adamw", peak=rate, lr=rate)


def _muon_group(params: list[Tensor], rate: float, parts: int) -> Group:
    return Group(params=params, kind="muon", peak=rate, lr=rate, parts=parts)


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> MuonAdamW:
    """Build a model's optimizer: matrices inside layers to Muon, the rest to AdamW.

    Embedding and head, routers, norms, biases and value or reward heads are AdamW's.
    Parameters without `requires_grad` are left out.
    """
    plain: list[Tensor] = []
    paired: list[Tensor] = []
    embedding: list[Tensor] = []
    rest: list[Tensor] = []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        inner = p.ndim > 1 and ".layers." in f".{name}" and not name.endswith("mlp.gate.weight")
        if inner and settings.muon_lr:
            (paired if name.endswith("gate_up_proj") else plain).append(p)
        else:
            (embedding if name.endswith("embed_tokens.weight") else rest).append(p)
    tokens = settings.embedding_lr or settings.adamw_lr
    groups = [
        _muon_group(plain, settings.muon_lr, 1),
        _muon_group(paired, settings.muon_lr, 2),
        adamw_group(embedding, tokens),
        adamw_group(rest, settings.adamw_lr),
    ]
    return MuonAdamW([g for g in groups if g["params"]], settings)


def set_rate(optimizer: MuonAdamW, step: int, steps: int) -> float:
    """Set the rates of step number `step` (from 0) of `steps`; returns the first group's.

    A straight line up to the peak in the first steps, then one down, as in transformers'
    `get_linear_schedule_with_warmup`; no step has the rate 0.
    """
    s = optimizer.settings
    warm = max(1, round(s.warmup * steps))
    share = (step + 1) / warm
    if step >= warm:
        # `final` belongs to the step after the last: at a final rate of 0 the last step, whose
        # gradient has been paid for, would move nothing.
        share = 1 - (1 - s.final) * (step - warm) / (steps - warm)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
    return float(optimizer.param_groups[0]["lr"])
