"""Answers of an export: text without marks, decided by the seed."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.training.rlhf import generate as module
from headrace.training.rlhf.generate import answers


def test_answers_of_an_export(world: Any) -> None:
    asked = ["Go on: The river keeps the valley.", "Go on: A"]
    (first,) = answers(world.base, asked, [1], max_new_tokens=8)
    assert len(first) == 2
    assert all("<|end|>" not in x for x in first)
    again, other = answers(world.base, asked, [1, 2], max_new_tokens=8)
    assert again == first and other != first
    assert answers(world.base, [], [1]) == [[]]


def test_batches_are_asked_in_order(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [f"Go on: {word}" for word in ("The river", "A farmer", "Our city")]
    monkeypatch.setattr(module, "BATCH", 2)
    (got,) = answers(world.base, asked, [5], max_new_tokens=8)
    (alone,) = answers(world.base, asked[:2], [5], max_new_tokens=8)
    assert len(got) == 3 and got[:2] == alone
