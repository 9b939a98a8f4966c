"""A byte-level BPE tokenizer: trained on a sample of a release, stored as Hugging Face reads it.

Byte-level (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", 2.2): every
text can be encoded and comes back byte for byte. Special tokens have the first ids; a document
that spells one out is encoded as plain text (`encode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.infra.lineage import sha256
from headrace.infra.special_tokens import END_OF_TEXT, PAD, SPECIAL

if TYPE_CHECKING:
    from tokenizers import Tokenizer


FILES = ("tokenizer.json", "tokenizer_config.json")
_PIECE = 1_000_000
"""Characters that are encoded at once: a longer document goes in pieces, to bound memory."""


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a tokenizer of at most `vocabulary` tokens, the same for the same texts.

    It has fewer tokens where the texts don't hold enough different pairs.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: str) -> None:
    """Write the files that `AutoTokenizer.from_pretrained` reads."""
    storage.write_bytes(
        storage.join(folder, FILES[0]), (tokenizer.to_str(pretty=True) + "\n").encode()
    )
    storage.write_json(
        storage.join(folder, FILES[1]),
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": PAD,
            "additional_special_tokens": [t for t in SPECIAL if t not in (END_OF_TEXT, PAD)],
            "clean_up_tokenization_spaces": False,
        },
    )


def copy(folder: str, target: str) -> None:
    """Copy the tokenizer files of a tokenizer's or a model's folder."""
    for name in FILES:
        source = storage.join(folder, name)
        if storage.exists(source):
            storage.write_bytes(storage.join(target, name), storage.read_bytes(source))


def load(folder: str) -> Tokenizer:
    """Load the tokenizer of a folder, set to read special tokens in a text as plain text.

    Raises:
        InputError: there is none, it can't be read, or it lacks the special tokens.
    """
    from tokenizers import Tokenizer

    uri = storage.join(folder, FILES[0])
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file", "give the folder of a tokenizer or of a model")
    try:
        tokenizer = Tokenizer.from_str(storage.read_bytes(uri).decode())
    except Exception as error:  # tokenizers raises bare Exception
        raise InputError(f"{uri}: {error}", "give a tokenizer.json of Hugging Face") from None
    missing = [t for t in SPECIAL if tokenizer.token_to_id(t) is None]
    if missing:
        raise InputError(f"{uri} lacks {', '.join(missing)}", "use a tokenizer that headrace made")
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
    """Token ids of each text, `<|endoftext|>` in front; all bytes of a text are in its ids."""
    pieces, owner = [], []
    for i, text in enumerate(texts):
        for piece in _pieces(text):
            pieces.append(piece)
            owner.append(i)
    parts: list[list[npt.NDArray[np.int32]]] = [
        [np.array([tokenizer.token_to_id(END_OF_TEXT)], np.int32)] for _ in texts
    ]
    encoded = tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
    for i, one in zip(owner, encoded, strict=True):
        parts[i].append(np.array(one.ids, np.int32))
    return [np.concatenate(p) for p in parts]


def _pieces(text: str) -> Iterable[str]:
    at = 0
    while len(text) - at > _PIECE:
        # Before a line break, where the tokens would part anyway in most cases.
        cut = text.rfind("\n", at + 1, at + _PIECE)
        cut = cut if cut > at else at + _PIECE
        yield text[at:cut]
        at = cut
    yield text[at:]


def byte_lengths(tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """(V,) bytes of text that each token stands for: 0 for special tokens."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    out = np.zeros(max(vocabulary.values()) + 1, np.int64)
    for token, i in vocabulary.items():
        # The byte-level alphabet writes each byte as one character.
        out[i] = 0 if token in special else len(token)
    return out


class Description(TypedDict):
    """What a manifest says of a tokenizer."""

    vocabulary: int
    special: dict[str, int | None]


def describe(tokenizer: Tokenizer) -> Description:
    """Size and special ids, for a manifest."""
    return {
        "vocabulary": tokenizer.get_vocab_size(with_added_tokens=True),
        "special": {t: tokenizer.token_to_id(t) for t in SPECIAL},
    }


def identity(folder: str) -> str:
    """SHA-256 of a tokenizer's tokenizer.json, in hex.

    Raises:
        InputError: there is no usable tokenizer in the folder.
    """
    load(folder)
    return sha256(storage.join(folder, FILES[0]))
