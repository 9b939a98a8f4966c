import pytest

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.training.moe.config import MoEConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_key_value_heads": 3},
        {"num_experts_per_tok": 17},
        {"head_dim": 7},
        {"moe_intermediate_size": 30},
    ],
)
def test_shapes_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        build(MoEConfig, wrong)
