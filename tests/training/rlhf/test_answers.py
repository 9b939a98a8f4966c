"""Answers of an export: text without marks, decided by the seed."""

from __future__ import annotations

from typing import Any

from headrace.training.rlhf.answers import answer


def test_answers_of_an_export(world: Any) -> None:
    asked = ["Go on: The river keeps the valley.", "Go on: A"]
    first = answer(world.base, asked, 1, max_new_tokens=8)
    assert len(first) == 2
    assert all("<|end|>" not in x for x in first)
    assert answer(world.base, asked, 1, max_new_tokens=8) == first
    assert answer(world.base, asked, 2, max_new_tokens=8) != first
    assert answer(world.base, [], 1) == []
