"""How much the order of a text is worth to a model: what shuffled text has lost.

A window of character or word salad has byte statistics that a model can learn, so its held-out
text gets better in training like any other's: the gate's metrics alone would promote it. Language
differs in that shuffling makes it harder to predict. The order gain is the bits per byte of
shuffled copies minus those of the documents; near 0 there was no order to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headrace.training.scoring import nll

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from headrace.training.moe.model import MoEForCausalLM


def shuffle(text: str, seed: int) -> str:
    """`text` with its words in random order, or its characters where it has few spaces.

    The same characters, so the same number of bytes; deterministic in (text, seed).
    """
    rng = np.random.default_rng([seed, len(text)])
    # Chinese is written without spaces: less than one in twenty characters is one.
    parts = text.split(" ") if text.count(" ") * 20 > len(text) else list(text)
    joint = " " if len(parts) < len(text) else ""
    return joint.join(parts[i] for i in rng.permutation(len(parts)))


def order_gain(
    model: MoEForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], seed: int
) -> float:
    """Bits per byte of shuffled copies of `texts` minus those of `texts`; NaN without any bytes."""
    nats, sizes = nll.score(model, tokenizer, texts)
    shuffled, _ = nll.score(model, tokenizer, [shuffle(t, seed) for t in texts])
    total = float(sizes.sum())
    if total == 0:
        return float("nan")
    return float((shuffled.sum() - nats.sum()) / total / np.log(2))
