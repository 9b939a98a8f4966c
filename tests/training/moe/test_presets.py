import pytest

from headrace.infra.errors import UsageError
from headrace.training.moe import presets
from headrace.training.moe.model import MoEForCausalLM


def test_the_large_preset_has_about_175b_parameters_and_22b_active() -> None:
    total, active = presets.count(presets.moe_175b().model)
    assert (total, active) == (176_716_450_816, 21_002_914_816)


def test_the_count_is_that_of_the_built_model() -> None:
    config = presets.test().model
    total, active = presets.count(config)
    assert total == sum(p.numel() for p in MoEForCausalLM(config).parameters())
    everything = config.model_copy(update={"num_experts_per_tok": config.n_routed_experts})
    assert active < presets.count(everything)[1] == total


def test_an_unknown_preset_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no preset 'big'"):
        presets.preset("big")
