"""A byte-level tokenizer without merges and a tiny untrained model, for tests of scores."""

from __future__ import annotations

from typing import Any

import pytest
import tiny

from headrace.training.moe.model import MoEForCausalLM

CONTEXT = 16


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """One token a byte, ids 0-255 in the order of the byte alphabet, then `<|endoftext|>`."""
    return tiny.fast(tiny.byte_core(), pad=None)


@pytest.fixture(scope="session")
def model(tokenizer: Any) -> MoEForCausalLM:
    """Untrained, but with weights large enough that every token matters."""
    return tiny.model(
        len(tokenizer),
        seed=1,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
    )
