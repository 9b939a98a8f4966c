from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.scoring import order_gain


@given(st.text(max_size=80))
def test_shuffle_keeps_the_characters(text: str) -> None:
    got = order_gain.shuffle(text, 1)
    assert sorted(got) == sorted(text) and got == order_gain.shuffle(text, 1)


def test_words_stay_whole_where_there_are_spaces() -> None:
    text = "the statute of limitations begins on the first day"
    assert sorted(order_gain.shuffle(text, 1).split()) == sorted(text.split())
    assert order_gain.shuffle(text, 1) != text


class Ascending(torch.nn.Module):
    """Expects each id to be followed by the next higher one."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return 9.0 * torch.nn.functional.one_hot((ids + 1) % 257, 257).float()


def test_order_is_worth_something_only_where_there_is_order(tokenizer: Any) -> None:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    ordered = ["".join(letters)] * 4
    rng = np.random.default_rng(0)
    salad = ["".join(rng.permutation(letters)) for _ in range(4)]

    class Sized(Ascending):
        config = type("C", (), {"max_position_embeddings": 64})

    model: Any = Sized()
    assert order_gain.order_gain(model, tokenizer, ordered, seed=1) > 5
    assert abs(order_gain.order_gain(model, tokenizer, salad, seed=1)) < 1
