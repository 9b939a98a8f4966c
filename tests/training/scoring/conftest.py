"""A byte-level tokenizer without merges and a tiny untrained model, for tests of scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM

CONTEXT = 16


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """One token a byte, ids 0-255 in the order of the byte alphabet, then `<|endoftext|>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


@pytest.fixture(scope="session")
def model(tokenizer: Any) -> MoEForCausalLM:
    """Untrained, but with weights large enough that every token matters."""
    torch.manual_seed(1)
    return MoEForCausalLM(
        MoEConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            max_position_embeddings=CONTEXT,
            initializer_range=0.3,
        )
    )
