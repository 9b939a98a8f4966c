"""Which checked state is kept, when training stops, and the weights in between."""

from __future__ import annotations

import torch

from headrace.training.incremental.state_selection import (
    interpolate,
    select_state,
    should_stop,
)
from headrace.training.results import Check


def checks(*pairs: tuple[float, float]) -> tuple[Check, ...]:
    return tuple(Check(step=10 * i, new=new, old=old) for i, (new, old) in enumerate(pairs))


def test_best_new_text_among_careful_states() -> None:
    course = checks((3.0, 2.0), (2.5, 2.005), (2.2, 2.03), (2.3, 2.009), (2.4, 1.9))
    chosen = select_state(course, forgetting=0.01)
    assert chosen is not None and chosen.step == 30


def test_no_state_is_better_than_a_careless_or_a_useless_one() -> None:
    assert select_state(checks((3.0, 2.0), (2.5, 2.5)), 0.01) is None
    assert select_state(checks((3.0, 2.0), (3.1, 2.0)), 0.01) is None
    assert select_state(checks((3.0, 2.0)), 0.01) is None


def test_stop_after_checks_without_progress() -> None:
    assert not should_stop(checks((3, 2), (2.9, 2), (2.8, 2), (2.9, 2), (2.9, 2)), 3)
    assert should_stop(checks((3, 2), (2.8, 2), (2.9, 2), (2.9, 2), (2.8, 2)), 3)
    assert not should_stop(checks((3, 2)), 1)


def test_interpolate_old_and_new_weights() -> None:
    old = {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor([3])}
    new = {"w": torch.tensor([2.0, 0.0]), "n": torch.tensor([5])}
    got = interpolate(old, new, 0.25)
    assert got["w"].tolist() == [0.5, 3.0] and got["n"].tolist() == [5]
    assert interpolate(old, new, 0.0)["w"].tolist() == [0.0, 4.0]
