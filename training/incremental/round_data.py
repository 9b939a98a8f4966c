"""What a round works with: batches to train on, and documents to judge by, from release folders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from headrace.infra import releases
from headrace.infra.errors import ValidationError
from headrace.training.data.columns import strings
from headrace.training.incremental import old_text
from headrace.training.incremental.settings import MaterialSettings
from headrace.training.incremental.split import split_validation, split_window
from headrace.training.scoring import evaluate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

COLUMNS = ("text", "content_hash")
FEWEST_DOCUMENTS = 8
"""Training documents below which a round is refused; the flow asks for more (20 kept records)."""


@dataclass(frozen=True)
class Material:
    """Everything a round reads, made from the releases by seed."""

    batches: old_text.TokenRows
    """(steps, rows, T) ids; in each batch the new rows come first."""
    new_rows: int
    """Rows of a batch that are new text, the first ones."""
    old_rows: int
    """Rows of a batch that are old text."""
    answer_rows: int
    """Rows of a batch that are the champion's answers, the last ones."""
    fisher: list[torch.Tensor]
    """Batches (B, T) of old text."""
    validation: dict[str, pa.Table]
    """`new` and `old` documents that choose among states (`evaluate.sample`)."""
    heldout: dict[str, pa.Table]
    """`new` and `old` documents that judge (`evaluate.sample`)."""


def _read(folders: Sequence[str], heldout: bool | None) -> pa.Table:
    return pa.concat_tables([releases.read_documents(f, COLUMNS, heldout) for f in folders])


def prepare(
    new: Sequence[str],
    old: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    length: int,
    settings: MaterialSettings,
    seed: int,
    answers: Sequence[Sequence[int]] = (),
) -> Material:
    """Prepare the material of a round: the same for equal releases, tokenizer, settings and seed.

    Args:
        new: folders of the window's releases.
        old: folders of the champion's corpus.
        tokenizer: the champion's.
        length: tokens of a row, the champion's context.
        settings: how much of all.
        seed: of samples and orders.
        answers: ids of the champion's answers to prompts, replayed beside old text.

    Raises:
        ValidationError: the window is too small to be split, or there is no old held-out text.
    """
    window = _read(new, None)
    train, held = split_window(window)
    train, valid = split_validation(train, settings.validation_share, settings.validation.documents)
    if len(train) < FEWEST_DOCUMENTS:
        raise ValidationError(
            f"the window has only {window.num_rows} documents: too few to learn from",
            "give a window with at least 20 kept records",
        )
    past_held = _read(old, True)
    if len(past_held) == 0:
        raise ValidationError(
            "the champion's corpus has no held-out documents",
            "old text can't be judged: curate a larger corpus",
        )
    old_rows = round(settings.replay * settings.rows)
    answer_rows = round(settings.dialogues * settings.rows) if answers else 0
    new_rows = max(1, settings.rows - old_rows - answer_rows)
    rows = old_text.pack(
        old_text.encode(tokenizer, strings(train, "text"), settings.document_tokens),
        length,
        max(new_rows, settings.tokens // (settings.rows * length) * new_rows),
        settings.passes,
        seed,
    )
    # Old documents for everything at once, in one random order: first those that validate, then
    # those that are replayed, whose first part also gives the Fisher information.
    pool = _read(old, False)
    past = old_text.choose(pool, settings.validation.documents + 4000, seed)
    past_valid = past.slice(0, min(settings.validation.documents, len(past) // 2))
    past_train = past.slice(len(past_valid))
    steps = max(1, math.ceil(len(rows) / new_rows))
    fisher_rows = max(1, settings.fisher_tokens // length)
    wanted = max(steps * old_rows, fisher_rows)
    documents: list[list[int]] = []
    filled, texts = 0, strings(past_train, "text")
    for at in range(0, len(texts), 256):  # no more of the sample is encoded than is used
        if filled >= wanted * length:
            break
        more = old_text.encode(tokenizer, texts[at : at + 256], settings.document_tokens)
        documents += more
        filled += sum(map(len, more))
    replayed = old_text.pack(documents, length, wanted, 1, seed + 1)
    spoken = old_text.pack(answers, length, max(steps * answer_rows, fisher_rows), 8, seed + 2)
    # What is replayed is what the Fisher information is of, in the same proportion.
    share = fisher_rows * answer_rows // max(1, old_rows + answer_rows)
    fisher = np.concatenate([replayed[: fisher_rows - share], spoken[:share]])
    return Material(
        old_text.mix([(rows, new_rows), (replayed, old_rows), (spoken, answer_rows)]),
        new_rows,
        old_rows,
        answer_rows,
        list(torch.split(torch.from_numpy(fisher), settings.fisher_rows)),
        {k: evaluate.sample(t, settings.validation) for k, t in _named(valid, past_valid)},
        {k: evaluate.sample(t, settings.heldout) for k, t in _named(held, past_held)},
    )


def _named(new: pa.Table, old: pa.Table) -> list[tuple[str, pa.Table]]:
    return [("new", new), ("old", old)]
