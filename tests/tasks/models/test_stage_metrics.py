"""What a stage's gain says."""

import pytest

from headrace.infra.artifacts import Gain
from headrace.tasks.models.stage_metrics import verdict


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.2, "better"),
        (-0.2, -0.1, "worse"),
        (-0.1, 0.1, "not shown"),
        (0, 0.1, "not shown"),
        (None, None, "too few to tell"),
    ],
)
def test_the_interval_decides(low: float | None, high: float | None, said: str) -> None:
    assert verdict(Gain(before=1.0, after=2.0, low=low, high=high)) == said
