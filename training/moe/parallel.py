"""Expert parallelism: the experts of each layer divided among the ranks, tokens sent to them.

Rank r of R holds E/R experts from number r·E/R on. A layer's tokens go to the ranks of their
experts by one all-to-all, and the results come back by a second. An expert sees its tokens in the
order in which one process would show them, so that its figures are the same.

DeepSpeed averages the gradients of what is replicated, and divides those of the experts, which
already come from the tokens of all ranks, by the number of ranks. It does so where it finds a layer
that is its own `MoE`: hence the base class, of which nothing else is used.

Importing this module imports DeepSpeed, seconds that one process alone need not spend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from headrace.training.distributed import Ranks, load_deepspeed
from headrace.training.moe.experts import Experts, MoELayer, dispatch, inverse
from headrace.training.moe.model import MoEForCausalLM

_deepspeed = load_deepspeed()
_MoE: Any = _deepspeed.moe.layer.MoE
_groups: Any = _deepspeed.utils.groups


class _Context(Protocol):
    sent: list[int]
    came: list[int]


class _Exchange(torch.autograd.Function):
    """`sent[r]` rows go to rank r, `came[r]` come from it; gradients go the same way back."""

    @staticmethod
    def forward(ctx: _Context, rows: Tensor, sent: list[int], came: list[int]) -> Tensor:
        ctx.sent, ctx.came = sent, came
        arrived = rows.new_empty(sum(came), rows.shape[1])
        dist.all_to_all_single(arrived, rows.contiguous(), came, sent)
        return arrived

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _exchange(grads[0], ctx.came, ctx.sent), None, None


_exchange: Callable[[Tensor, list[int], list[int]], Tensor] = _Exchange.apply


class DividedExperts(Experts, _MoE):  # type: ignore[misc] # DeepSpeed has no types
    """The E/R experts of this rank, under the names that all E have in one process."""

    def __init__(self, all_experts: Experts, ranks: Ranks) -> None:
        nn.Module.__init__(self)
        self.number = self.num_experts = all_experts.number
        self.ep_size = ranks.size
        self.num_local_experts = self.number // ranks.size
        self.expert_group_name = f"ep_size_{ranks.size}"
        for name, weight in all_experts.named_parameters():
            mine = nn.Parameter(ranks.part(weight.detach()))
            setattr(mine, "allreduce", False)  # noqa: B010 (DeepSpeed's marks, untyped)
            setattr(mine, "group_name", self.expert_group_name)  # noqa: B010
            self.register_parameter(name, mine)

    def set_deepspeed_parallelism(self, use_data_before_expert_parallel_: bool = False) -> None:
        """Make the groups of ranks by which DeepSpeed reduces gradients; it calls this."""
        if self.expert_group_name not in _groups._get_expert_parallel_group_dict():
            _groups._create_expert_and_data_parallel(self.ep_size)

    def each(self, rows: Tensor, counts: Tensor) -> Tensor:
        """As `Experts.each`: this rank's rows through all experts, wherever those are."""
        sent = counts.view(self.ep_size, -1)  # (R, E/R): to rank r, for its expert e
        came = torch.empty_like(sent)  # (R, E/R): from rank r, for this rank's expert e
        dist.all_to_all_single(came, sent.contiguous())
        there, here = sent.sum(1).tolist(), came.sum(1).tolist()
        arrived = _exchange(rows, there, here)
        # They lie by sender, then by expert; the experts take them by expert, then by sender.
        numbers = torch.arange(self.num_local_experts).repeat(self.ep_size)
        order = numbers.repeat_interleave(came.flatten()).argsort(stable=True)
        unorder = inverse(order)
        done = super().each(dispatch(arrived, order, unorder, 1), came.sum(0))
        return _exchange(dispatch(done, unorder, order, 1), here, there)


def divide(model: MoEForCausalLM, ranks: Ranks) -> None:
    """Keep this rank's part of each layer's experts; their number must divide by the ranks'.

    All ranks must begin with the same weights. To be called before the optimizer is built; the
    model runs once an Engine has been made of it.
    """
    for layer in _moe_layers(model):
        layer.experts = DividedExperts(layer.experts, ranks)


def unite(model: MoEForCausalLM, ranks: Ranks) -> None:
    """On the first rank all experts again, as in one process; elsewhere the model is done with."""
    for layer in _moe_layers(model):
        united = Experts(model.config)
        for name, mine in layer.experts.named_parameters():
            united.register_parameter(name, nn.Parameter(ranks.whole(mine.detach())))
        layer.experts = united


def _moe_layers(model: nn.Module) -> list[MoELayer]:
    return [module for module in model.modules() if isinstance(module, MoELayer)]
