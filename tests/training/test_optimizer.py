from itertools import pairwise
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.optimizer import MuonAdamW, build_optimizer, orthogonalize, set_rate
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
    y = orthogonalize(x)
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
    assert rates[0] == pytest.approx(0.002)
    falls = [a - b for a, b in pairwise(rates[10:])]
    assert max(falls) - min(falls) < 1e-9
    assert rates[-1] - falls[-1] == pytest.approx(0.2 * peak)  # what a further step would have


@given(
    steps=st.integers(1, 400),
    warmup=st.floats(0, 1),
    final=st.floats(0, 1),
    muon=st.sampled_from([0.0, 0.02]),
)
@settings(max_examples=200, deadline=None)
def test_every_step_trains(steps: int, warmup: float, final: float, muon: float) -> None:
    optimizer = MuonAdamW(
        [{"params": [nn.Parameter(torch.zeros(2))], "kind": "adamw", "peak": 0.1, "lr": 0.1}],
        OptimizerSettings(muon_lr=muon, warmup=warmup, final=final),
    )
    rates = [set_rate(optimizer, n, steps) for n in range(steps)]
    assert min(rates) > 0 and max(rates) <= 0.1 * (1 + 1e-12)
    assert max(rates) == pytest.approx(0.1)
    top = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))


def starved(weight_decay: float, muon_lr: float) -> tuple[MoEForCausalLM, MuonAdamW]:
    torch.manual_seed(0)
    model = MoEForCausalLM(CONFIG.model_copy(update={"tie_word_embeddings": False})).train()
    return model, build_optimizer(
        model, OptimizerSettings(muon_lr=muon_lr, weight_decay=weight_decay)
    )


def train(model: MoEForCausalLM, optimizer: MuonAdamW, steps: int) -> None:
    """Steps on random ids below 32: rows 32 to 39 of the embedding are never in a batch."""
    for _ in range(steps):
        ids = torch.randint(0, 32, (4, 24))
        next_token_loss(model(ids), ids).backward()
        optimizer.step()
        optimizer.zero_grad()


def parts_of_expert(model: MoEForCausalLM, expert: int) -> dict[str, torch.Tensor]:
    """All weights that only this expert's tokens train, its row of the router included."""
    return {
        n: p.detach()[expert].clone()
        for n, p in model.named_parameters()
        if n.endswith(("gate_up_proj", "experts.down_proj", "mlp.gate.weight"))
    }


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("muon_lr", [0.02, 0.0], ids=["muon", "adamw"])
def test_an_expert_without_tokens_stays_where_it_is(weight_decay: float, muon_lr: float) -> None:
    """Also one that had tokens before, and so has momentum; with tokens again it moves again."""
    model, optimizer = starved(weight_decay, muon_lr)
    train(model, optimizer, 5)
    (router,) = model.routers()
    before, unseen = parts_of_expert(model, 1), model.model.embed_tokens.weight[32:].clone()
    busy = parts_of_expert(model, 2)
    router.e_score_correction_bias[1] = -torch.inf
    router.balance(0.0)
    train(model, optimizer, 60)
    assert router.load[1] == 0 and len(before) == 3
    for name, now in parts_of_expert(model, 1).items():
        assert torch.equal(now, before[name]), name
    for name, now in parts_of_expert(model, 2).items():
        assert not torch.equal(now, busy[name]), name
    assert torch.equal(model.model.embed_tokens.weight[32:], unseen)
    router.e_score_correction_bias[1] = 1.0
    train(model, optimizer, 1)
    assert not torch.equal(parts_of_expert(model, 1)["model.layers.1.mlp.experts.down_proj"],
                           before["model.layers.1.mlp.experts.down_proj"])  # fmt: skip


def test_after_a_long_pause_the_first_tokens_decide_alone() -> None:
    """The momentum of before has faded: the step is that of an optimizer without a past."""
    torch.manual_seed(0)
    old, fresh = (nn.Parameter(torch.zeros(3, 8, 8)) for _ in range(2))
    past, none = (
        MuonAdamW(
            [{"params": [p], "kind": "muon", "parts": 1, "peak": 0.02, "lr": 0.02}],
            OptimizerSettings(),
        )
        for p in (old, fresh)
    )
    old.grad = torch.randn(3, 8, 8)
    past.step()
    at = old.detach().clone()
    old.grad = torch.zeros(3, 8, 8)
    for _ in range(300):
        past.step()
    assert torch.equal(old.detach(), at)
    old.grad = fresh.grad = torch.randn(3, 8, 8)
    past.step()
    none.step()
    torch.testing.assert_close(old.detach() - at, fresh.detach(), atol=1e-5, rtol=1e-4)


def test_an_expert_with_next_to_no_gradient_fades_and_a_busy_one_does_not() -> None:
    """At a millionth of the gradient, 300 steps; the others' steps keep their full size."""
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(2, 32, 32) * 0.02)
    optimizer = MuonAdamW(
        [{"params": [p], "kind": "muon", "parts": 1, "peak": 0.02, "lr": 0.02}], OptimizerSettings()
    )
    signal = torch.randn(2, 32, 32)

    def run(steps: int, faint: float) -> torch.Tensor:
        before = p.detach().clone()
        sizes = torch.tensor([1.0, faint]).view(2, 1, 1)
        for _ in range(steps):
            p.grad = (signal + torch.randn(2, 32, 32)) * sizes
            optimizer.step()
        moved: torch.Tensor = (p.detach() - before).norm(dim=(1, 2))
        return moved

    run(100, 1.0)
    busy, faint = run(300, 1e-6).tolist()
    assert faint < 0.15 * busy
    # What a matrix with a steady gradient loses to the chance of its size: next to nothing.
    full = 300 * 0.02 * orthogonalize(signal[:1]).norm()
    assert busy > 0.6 * full


@given(
    masks=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8),
    kind=st.sampled_from(["muon", "adamw"]),
    parts=st.sampled_from([1, 2]),
    shape=st.sampled_from([(5, 4, 6), (5, 6), (5,)]),
    decay=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=150, deadline=None)
def test_what_has_no_gradient_does_not_move_and_what_has_does(
    masks: list[list[bool]],
    kind: Literal["muon", "adamw"],
    parts: int,
    shape: tuple[int, ...],
    decay: float,
) -> None:
    if kind == "muon" and len(shape) < 3:
        shape = (5, 4, 6)  # a slice of stacked matrices
    torch.manual_seed(1)
    p = nn.Parameter(torch.randn(shape))
    optimizer = MuonAdamW(
        [{"params": [p], "kind": kind, "parts": parts, "peak": 0.1, "lr": 0.1}],
        OptimizerSettings(weight_decay=decay),
    )
    for mask in masks:
        before = p.detach().clone()
        got = torch.tensor(mask)
        p.grad = torch.randn(shape) * got.view(-1, *[1] * (len(shape) - 1))
        optimizer.step()
        moved = (p.detach() != before).flatten(1).any(1) if p.ndim > 1 else p.detach() != before
        if p.ndim > 1:
            assert moved.tolist() == mask
        else:
            assert moved.any() == got.any()
