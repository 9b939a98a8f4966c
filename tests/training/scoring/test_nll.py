from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.scoring import nll


@given(st.integers(0, 400), st.integers(4, 64))
def test_windows_predict_each_token_once_with_enough_context(length: int, context: int) -> None:
    seen: list[int] = []
    for start, end, first in nll.windows(length, context):
        assert end - start <= context
        assert start == 0 or first >= context // 4
        seen += range(start + first + 1, end + 1)
    assert seen == list(range(1, length))


def brute(model: Any, ids: list[int], context: int) -> float:
    """Nats by one forward pass a window, no batching."""
    total = 0.0
    for start, end, first in nll.windows(len(ids), context):
        with torch.no_grad():
            log_p = model.eval()(torch.tensor([ids[start:end]]))[0].log_softmax(-1)
        for at in range(first, end - start):
            total -= float(log_p[at, ids[start + at + 1]])
    return total


TEXTS = ["", "a", "Water flows downhill.", "水往低处流。", "x" * 15, "y" * 16, "long " * 40, "b"]


def test_scores_are_those_of_single_passes(model: Any, tokenizer: Any) -> None:
    nats, sizes = nll.score(model, tokenizer, TEXTS)
    assert sizes.tolist() == [len(t.encode()) for t in TEXTS]
    eos = tokenizer.eos_token_id
    want = [
        brute(model, [eos, *tokenizer(t, add_special_tokens=False)["input_ids"]], 16) for t in TEXTS
    ]
    np.testing.assert_allclose(nats, want, rtol=1e-5)
    assert nats[0] == 0 and (nats[1:] > 0).all()


def test_scores_do_not_depend_on_neighbours(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats, _ = nll.score(model, tokenizer, TEXTS)
    backwards, _ = nll.score(model, tokenizer, TEXTS[::-1])
    np.testing.assert_allclose(nats, backwards[::-1], rtol=1e-5)
    monkeypatch.setattr(nll, "BATCH_TOKENS", 40)
    small, _ = nll.score(model, tokenizer, TEXTS)
    np.testing.assert_allclose(nats, small, rtol=1e-5)


def test_model_that_returns_an_object_and_keeps_its_mode(model: Any, tokenizer: Any) -> None:
    class Wrapped(torch.nn.Module):
        def forward(self, ids: Any) -> Any:
            return type("Out", (), {"logits": model(ids)})

    wrapped: Any = Wrapped().train()
    nats, _ = nll.score(wrapped, tokenizer, TEXTS, context=16)
    np.testing.assert_allclose(nats, nll.score(model, tokenizer, TEXTS)[0], rtol=1e-6)
    assert wrapped.training


@given(st.text(max_size=60), st.integers(0, 80))
def test_cut_keeps_whole_characters(text: str, size: int) -> None:
    got = nll.cut(text, size)
    assert text.startswith(got) and len(got.encode()) <= size
    assert got == text or len(text[: len(got) + 1].encode()) > size
