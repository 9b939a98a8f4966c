import torch

from headrace.training.callbacks.base import Step
from headrace.training.callbacks.experts import Balance
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.moe.presets import test as small


def test_an_even_load_is_one_and_a_lone_expert_shows() -> None:
    model = MoEForCausalLM(small().model).train()
    (router,) = model.routers()
    step = Step(1, False)
    router.load[:] = 10
    Balance(model, 0.1).after(step)
    assert step.record == {"expert_load": 1.0, "idle_experts": 0}
    assert not router.e_score_correction_bias.any()
    router.load[2] = 40
    Balance(model, 0.1).after(step)
    assert step.record == {"expert_load": 8.0, "idle_experts": 7}
    assert torch.equal(router.e_score_correction_bias < 0, torch.arange(8) == 2)
