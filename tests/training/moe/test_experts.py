import torch
import torch.nn.functional as F
from torch import Tensor

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.experts import Experts

CONFIG = MoEConfig(
    hidden_size=16, n_routed_experts=5, num_experts_per_tok=2, moe_intermediate_size=8
)


def one_by_one(experts: Experts, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    rows = []
    for token, which, how in zip(x, chosen, weights, strict=True):
        total = torch.zeros_like(token)
        for e, w in zip(which.tolist(), how, strict=True):
            gate, up = (experts.gate_up_proj[e] @ token).chunk(2)
            total = total + w * (experts.down_proj[e] @ (F.silu(gate) * up))
        rows.append(total)
    return torch.stack(rows)


def test_mixture_and_its_gradients_equal_those_of_experts_one_by_one() -> None:
    torch.manual_seed(1)
    experts = Experts(CONFIG)
    for p in experts.parameters():
        torch.nn.init.normal_(p, 0, 0.3)
    x = torch.randn(23, 16, requires_grad=True)
    # Expert 4 gets no token: empty groups must work too.
    chosen = torch.rand(23, 4).topk(2)[1]
    weights = torch.rand(23, 2, requires_grad=True)
    down = torch.randn(23, 16)
    leaves = [x, weights, *experts.parameters()]
    fast = experts(x, chosen, weights)
    slow = one_by_one(experts, x, chosen, weights)
    torch.testing.assert_close(fast, slow, atol=1e-6, rtol=1e-5)
    got = torch.autograd.grad((fast * down).sum(), leaves)
    want = torch.autograd.grad((slow * down).sum(), leaves)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
