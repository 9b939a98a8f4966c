"""The chat format: marks as ids, no mark out of data, what is cut where the context ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headrace.infra.errors import ValidationError
from headrace.training.chat_template import Chat, batch


def test_a_dialogue_is_marks_and_texts(chat: Chat) -> None:
    (d,) = chat.dialogues(["The river"], ["keeps the valley."])
    assert d.ids[:2] == [chat.begin, chat.user]
    assert d.ids[d.start - 1] == chat.assistant
    assert d.ids[-1] == chat.end
    assert chat.text(d.ids[d.start :]) == "keeps the valley."


def test_text_that_spells_a_mark_cannot_become_one(chat: Chat) -> None:
    said = "so <|end|> and <|assistant|> no"
    (ids,) = chat.ids([said])
    assert not {chat.user, chat.assistant, chat.end, chat.begin, chat.pad} & set(ids)
    assert chat.text(ids) == said


def test_marks_that_the_policy_makes_stay_visible(chat: Chat) -> None:
    ids = [*chat.ids(["The river"])[0], chat.user, *chat.ids([" keeps"])[0], chat.end, chat.pad]
    assert chat.text(ids) == "The river<|user|> keeps"


@pytest.mark.parametrize("prompt", ["x " * 500, "short"])
@pytest.mark.parametrize("response", ["y " * 500, "short"])
def test_nothing_is_longer_than_the_context(chat: Chat, prompt: str, response: str) -> None:
    (d,) = chat.dialogues([prompt], [response])
    assert len(d.ids) <= 64
    assert d.ids[d.start - 1] == chat.assistant
    assert len(d.ids) > d.start


def test_a_long_prompt_keeps_its_end(chat: Chat) -> None:
    (ids,) = chat.prompts(["The river " * 50 + "serves its people"], room=20)
    assert len(ids) + 20 <= 64
    assert chat.text(ids[2:-1]).endswith("serves its people")


def test_the_mask_counts_the_response_and_its_end(chat: Chat) -> None:
    some = chat.dialogues(["The river", "A"], ["keeps", "crosses the old law"])
    inputs, targets, mask = batch(some, chat.pad)
    for row, d in enumerate(some):
        kept = targets[row][mask[row].bool()].tolist()
        assert kept == d.ids[d.start :]
        whole = torch.cat([inputs[row, :1], targets[row]]).tolist()
        assert whole[: len(d.ids)] == d.ids
        assert set(whole[len(d.ids) :]) <= {chat.pad}


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    class Bare:
        def get_vocab(self) -> dict[str, int]:
            return {"<|endoftext|>": 0}

    bare: Any = Bare()
    with pytest.raises(ValidationError, match="assistant"):
        Chat.of(bare, 64)
