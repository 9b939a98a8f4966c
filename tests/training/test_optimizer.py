from itertools import pairwise

import pytest
import torch
from torch import nn

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW, build_optimizer, orthogonalise, set_rate
from headrace.training.settings import OptimizerSettings

CONFIG = MoEConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    head_dim=16,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
)


@pytest.mark.parametrize("shape", [(3, 8, 24), (2, 24, 8), (4, 16, 16)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    y = orthogonalise(x)
    values = torch.linalg.svdvals(y)
    assert values.min() > 0.3 and values.max() < 1.3
    u, _, vt = torch.linalg.svd(x, full_matrices=False)
    inner = u.mT @ y @ vt.mT  # diagonal in the same basis
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-3


def test_stacked_experts_are_updated_as_torch_does_each_matrix() -> None:
    torch.manual_seed(0)
    model = MoEForCausalLM(CONFIG)
    name = "model.layers.1.mlp.experts.gate_up_proj"
    stacked = dict(model.named_parameters())[name]
    settings = OptimizerSettings(muon_lr=0.02, weight_decay=0.1)
    ours = build_optimizer(model, settings)
    halves = [half.clone() for e in stacked.detach() for half in e.chunk(2)]
    theirs = [nn.Parameter(h.clone()) for h in halves]
    muon = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(3):
        stacked.grad = torch.randn_like(stacked)
        for p, g in zip(theirs, [half for e in stacked.grad for half in e.chunk(2)], strict=True):
            p.grad = g.clone()
        ours.step()
        muon.step()
    got = [half for e in stacked.detach() for half in e.chunk(2)]
    for a, b, first in zip(got, theirs, halves, strict=True):
        moved = (b - first).norm()
        assert (a - b).norm() < 0.02 * moved  # torch iterates in bfloat16


def test_the_rest_is_updated_as_torch_adamw_does() -> None:
    torch.manual_seed(0)
    model = MoEForCausalLM(CONFIG)
    ours = build_optimizer(model, OptimizerSettings(adamw_lr=1e-2, weight_decay=0.1))
    rows = model.model.embed_tokens.weight
    twin = nn.Parameter(rows.detach().clone())
    theirs = torch.optim.AdamW([twin], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(4):
        rows.grad = torch.randn_like(rows)
        twin.grad = rows.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(rows, twin, atol=1e-6, rtol=1e-5)


def test_who_gets_which_optimizer() -> None:
    model = MoEForCausalLM(CONFIG)
    names = {id(p): n for n, p in model.named_parameters()}

    def of(kind: str, optimizer: MuonAdamW) -> set[str]:
        groups = [g for g in optimizer.param_groups if g["kind"] == kind]
        return {names[id(p)] for g in groups for p in g["params"]}

    both = build_optimizer(model, OptimizerSettings())
    assert of("muon", both) | of("adamw", both) == set(names.values())
    assert "model.layers.1.mlp.experts.down_proj" in of("muon", both)
    assert "model.layers.0.self_attn.q_proj.weight" in of("muon", both)
    assert {"model.embed_tokens.weight", "model.layers.1.mlp.gate.weight"} <= of("adamw", both)
    alone = build_optimizer(model, OptimizerSettings(muon_lr=0.0))
    assert not of("muon", alone)


def test_rates_climb_and_fall_in_a_straight_line() -> None:
    optimizer = build_optimizer(MoEForCausalLM(CONFIG), OptimizerSettings(warmup=0.1, final=0.2))
    rates = [set_rate(optimizer, n, 100) for n in range(100)]
    peak = max(rates)
    assert rates.index(peak) == 9 and peak == 0.02
    assert rates[0] == pytest.approx(0.002) and rates[-1] == pytest.approx(0.004)
    falls = [a - b for a, b in pairwise(rates[9:])]
    assert max(falls) - min(falls) < 1e-9
