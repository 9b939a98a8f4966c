"""The chat format: `<|endoftext|><|user|>` prompt `<|assistant|>` response `<|end|>`.

Special tokens are put in as ids; a text that spells one out is encoded as ordinary characters, so
that no data can open or close a turn. `TEMPLATE` is the same format for transformers and what is
built on it. There a chat becomes one string before it becomes ids, so a mark inside a message would
be read as one: the template refuses such a message instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headrace.infra.errors import ValidationError
from headrace.infra.special_tokens import ASSISTANT, END, END_OF_TEXT, SPECIAL, USER
from headrace.training.moe.export import ChatFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TEMPLATE = f"""\
{{{{- '{END_OF_TEXT}' -}}}}
{{%- for message in messages -%}}
  {{%- set expected = 'user' if loop.index0 % 2 == 0 else 'assistant' -%}}
  {{%- if message['role'] != expected -%}}
    {{{{- raise_exception('message ' ~ loop.index ~ ' is of role ' ~ message['role'] ~ ': user and \
assistant take turns, the user begins, and there is no other role') -}}}}
  {{%- endif -%}}
  {{%- if message['content'] is not string -%}}
    {{{{- raise_exception('message ' ~ loop.index ~ ': the content must be a string') -}}}}
  {{%- endif -%}}
  {{%- for mark in {list(SPECIAL)} -%}}
    {{%- if mark in message['content'] -%}}
      {{{{- raise_exception('message ' ~ loop.index ~ ' holds ' ~ mark ~ ', which would be read as \
a mark of the format') -}}}}
    {{%- endif -%}}
  {{%- endfor -%}}
  {{%- if expected == 'user' -%}}
    {{{{- '{USER}' ~ message['content'] -}}}}
  {{%- else -%}}
    {{{{- '{ASSISTANT}' ~ message['content'] ~ '{END}' -}}}}
  {{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
  {{{{- '{ASSISTANT}' -}}}}
{{%- endif -%}}
"""
"""The format in Jinja, as transformers' `apply_chat_template` renders it."""


@dataclass(frozen=True)
class Chat:
    """A tokenizer seen as a chat format: ids of the marks, and texts to ids without any marks."""

    tokenizer: PreTrainedTokenizerFast
    user: int
    assistant: int
    end: int
    begin: int
    pad: int
    context: int
    """Most tokens in a row that the model can take."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, context: int) -> Chat:
        """Return the chat format of a tokenizer (transformers' fast kind).

        Raises:
            ValidationError: the tokenizer lacks a special token.
        """
        known = tokenizer.get_vocab()
        if missing := [t for t in SPECIAL if t not in known]:
            raise ValidationError(
                f"the model's tokenizer lacks {', '.join(missing)}",
                "align a model that `headrace tokenize` made the tokenizer of",
            )
        begin, user, assistant, end, pad = (known[t] for t in SPECIAL)
        return cls(tokenizer, user, assistant, end, begin, pad, context)

    @property
    def format(self) -> ChatFormat:
        """What an export says of the format: its template, and the tokens that end an answer."""
        return ChatFormat(TEMPLATE, (self.begin, self.end))

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of texts, with no special token among them."""
        if not texts:
            return []
        said = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return [list(map(int, row)) for row in said["input_ids"]]

    def conversation(self, turns: Sequence[str]) -> list[int]:
        """Return the ids of the texts of user, assistant, user … up to where the assistant speaks.

        Where the last turn is the assistant's, up to its end mark. The same ids as by `TEMPLATE`.
        """
        return self._turns(self.ids(turns))

    def _turns(self, turns: Sequence[Sequence[int]]) -> list[int]:
        out = [self.begin]
        for number, ids in enumerate(turns):
            out += [self.assistant, *ids, self.end] if number % 2 else [self.user, *ids]
        return out if len(turns) % 2 == 0 else [*out, self.assistant]

    def prompts(self, prompts: Sequence[str], room: int) -> list[list[int]]:
        """Encode prompts up to where the assistant speaks, with `room` tokens left for it.

        Of a prompt that is too long the end is kept: what the response continues.
        """
        most = max(1, self.context - room - 3)
        return [self._turns([ids[-most:]]) for ids in self.ids(prompts)]

    def dialogues(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Dialogue]:
        """Prompts with their responses; a response that doesn't fit loses its end and its mark."""
        out = []
        for prompt, response in zip(self.ids(prompts), self.ids(responses), strict=True):
            said = [*response, self.end][: max(1, self.context - 4)]
            most = max(0, self.context - len(said) - 3)
            kept = prompt[-most:] if most else []
            start = self._turns([kept])
            out.append(Dialogue([*start, *said], len(start)))
        return out

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of response ids, up to the mark that ends it, with spaces as they stand.

        Any other mark inside stays visible: an answer has no business with it.
        """
        kept = list(ids)
        if self.end in kept:
            kept = kept[: kept.index(self.end)]
        return str(self.tokenizer.decode(kept, clean_up_tokenization_spaces=False))


@dataclass(frozen=True)
class Dialogue:
    """Ids of a prompt and its response; the response begins at `start`."""

    ids: list[int]
    start: int


def batch(dialogues: Sequence[Dialogue], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return (inputs, targets, mask), each (B, T - 1), padded at the right to the longest.

    `mask` is 1 where the target is a token of the response.
    """
    longest = max(len(d.ids) for d in dialogues)
    ids = torch.full((len(dialogues), longest), pad, dtype=torch.int64)
    mask = torch.zeros(len(dialogues), longest)
    for row, d in enumerate(dialogues):
        ids[row, : len(d.ids)] = torch.tensor(d.ids)
        mask[row, d.start : len(d.ids)] = 1
    return ids[:, :-1], ids[:, 1:], mask[:, 1:]


def padded(dialogues: Sequence[Dialogue], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """(ids (B, T) padded at the right, first and last position (B,) of each answer)."""
    longest = max(len(d.ids) for d in dialogues)
    ids = torch.full((len(dialogues), longest), pad, dtype=torch.int64)
    for row, d in enumerate(dialogues):
        ids[row, : len(d.ids)] = torch.tensor(d.ids)
    start = torch.tensor([d.start for d in dialogues])
    return ids, start, torch.tensor([len(d.ids) - 1 for d in dialogues])
