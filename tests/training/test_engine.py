import pytest
import torch

from headrace.training.engine import DivergedError, Engine, prepare
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.optimizer import build_optimizer
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


def run(through_deepspeed: bool, clip: float) -> list[float]:
    prepare(3)
    model = MoEForCausalLM(CONFIG).train()
    optimizer = build_optimizer(model, OptimizerSettings())
    ids, losses = torch.randint(0, 40, (4, 12)), []
    if through_deepspeed:
        with Engine(model, optimizer, clip) as engine:
            for _ in range(5):
                loss = next_token_loss(model(ids), ids)
                engine.step(loss)
                losses.append(loss.item())
        return losses
    for _ in range(5):
        loss = next_token_loss(model(ids), ids)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_deepspeed_trains_as_plain_torch_does(clip: float) -> None:
    ours, plain = run(True, clip), run(False, clip)
    assert ours == pytest.approx(plain, rel=1e-5)
    assert ours[-1] < ours[0]


def test_gradients_of_several_losses_add_up() -> None:
    model = torch.nn.Linear(3, 1, bias=False)
    optimizer = build_optimizer(model, OptimizerSettings())
    with Engine(model, optimizer, clip=0) as engine:
        x = torch.ones(1, 3)
        engine.backward(model(x).sum())
        engine.backward(2 * model(x).sum())
        assert engine.update() == pytest.approx(3 * 3**0.5)


def test_what_is_not_finite_stops_before_it_does_harm() -> None:
    model = torch.nn.Linear(3, 1, bias=False)
    before = model.weight.detach().clone()
    with Engine(model, build_optimizer(model, OptimizerSettings())) as engine:
        with pytest.raises(DivergedError, match="the loss is nan"):
            engine.step(model(torch.full((1, 3), torch.nan)).sum())
        with pytest.raises(DivergedError, match="norm is"):
            engine.step((model(torch.zeros(1, 3)) * 1e30).sum().sqrt().sum() * 1e30)
    assert torch.equal(model.weight, before)
