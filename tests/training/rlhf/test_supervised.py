"""A step of supervised fine-tuning: responses, and replayed text by its share of the step."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.training.chat_template import Chat
from headrace.training.engine import Engine
from headrace.training.moe import export
from headrace.training.optimizer import build_optimizer
from headrace.training.rlhf.pretraining_mix import Replay
from headrace.training.rlhf.settings import Rates
from headrace.training.rlhf.supervised import Supervised


@pytest.mark.parametrize(("rows", "share"), [(2, 1 / 3), (0, 0.0)])
def test_replayed_text_counts_by_its_rows(world: Any, rows: int, share: float) -> None:
    model = export.load(world.base)
    chat = Chat.of(export.load_tokenizer(world.base), 64)
    dialogues = chat.dialogues(["The river"] * 8, ["keeps the valley"] * 8)
    replay = Replay(str(world.tokens), world.base, [1])
    objective = Supervised(model, dialogues, 4, chat.pad, 1, replay, rows)
    assert objective.share == pytest.approx(share)
    with Engine(model, build_optimizer(model, Rates())) as engine:
        figures = [objective.step(engine, n) for n in range(4)]
    assert ("language_loss" in figures[0]) == bool(rows)
    assert figures[-1]["loss"] < figures[0]["loss"]
    assert objective.note(figures[0]) == f"loss {figures[0]['loss']:.3f}"
