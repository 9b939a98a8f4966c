import pytest

from headrace.infra.errors import UsageError
from headrace.training.plan import plan
from headrace.training.settings import PretrainSettings

LARGE = PretrainSettings(preset="moe-175b")


def test_all_devices_together_hold_every_weight_and_state_once() -> None:
    said = plan(LARGE, 64, "h100")
    assert said.zero_stage == 2 and said.expert_parallel == 64 and said.fits
    total = said.total_parameters
    # bf16 gradients divided without a remainder; states are 8 bytes (Muon) to 12 (AdamW) each.
    assert said.bytes.gradients * 64 == pytest.approx(2 * total, rel=1e-6)
    assert 8 * total < said.bytes.optimizer * 64 < 8.1 * total


def test_more_devices_never_take_more_memory_each_at_the_same_stage() -> None:
    few, many = plan(LARGE, 8, "h100"), plan(LARGE, 64, "h100")
    assert many.bytes_per_device < few.bytes_per_device and not few.fits
    assert many.bytes_per_device == many.bytes.total


def test_a_small_preset_needs_no_partition() -> None:
    said = plan(PretrainSettings(), 1, "A100")
    assert said.zero_stage == 0 and said.fits
    assert said.tokens_per_second is said.days is said.cost is None


@pytest.mark.parametrize(("gpus", "gpu"), [(0, "h100"), (8, "h1000")])
def test_what_cannot_be_planned_is_a_usage_error(gpus: int, gpu: str) -> None:
    with pytest.raises(UsageError):
        plan(LARGE, gpus, gpu)
