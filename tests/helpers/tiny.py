"""One tiny model and its tokenizers, for every test that needs some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM

END, PAD = "<|endoftext|>", "<|pad|>"
CHAT = ["<|user|>", "<|assistant|>", "<|end|>"]
SPECIAL = [END, *CHAT, PAD]


def _byte_level(core: Tokenizer) -> Tokenizer:
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def byte_core() -> Tokenizer:
    """Return a tokenizer with a token per byte and nothing learned."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _byte_level(Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, [])))


def bpe_core(texts: Iterable[str], vocabulary: int, special: Sequence[str] = SPECIAL) -> Tokenizer:
    """Return a byte-pair tokenizer that is fitted on `texts`."""
    core = _byte_level(Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return core


def fast(
    core: Tokenizer, chat: Sequence[str] = (), pad: str | None = PAD
) -> PreTrainedTokenizerFast:
    """Return a tokenizer in the form of transformers; `chat`: its additional special tokens."""
    more: dict[str, Any] = {"pad_token": pad} if pad else {}
    if chat:
        more["additional_special_tokens"] = list(chat)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=END, eos_token=END, **more)


def model(vocabulary: int, seed: int = 0, **changed: float) -> MoEForCausalLM:
    """Return an untrained model of some ten thousand parameters; `changed`: other settings."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "max_position_embeddings": 64,
    }  # fmt: skip
    return MoEForCausalLM(MoEConfig(vocab_size=vocabulary, **{**shape, **changed})).eval()
