"""The champion's answers, from a tiny model that has learned to answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.infra.errors import InputError
from headrace.training.chat_template import Chat
from headrace.training.incremental import answer_replay
from headrace.training.moe import export
from headrace.training.moe.model import next_token_loss
from headrace.training.optimizer import build_optimizer
from headrace.training.rlhf import rollout
from headrace.training.settings import OptimizerSettings

PROMPTS = ["aa", "bb", "cc", "dd"]


@pytest.fixture(scope="module")
def tokenizer(champion: str) -> Any:
    return export.load_tokenizer(champion)


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> Chat:
    return Chat.of(tokenizer, 32)


@pytest.fixture(scope="module")
def model(champion: str, chat: Chat) -> Any:
    """Answers every prompt with "yes"."""
    out = export.load(champion).train()
    optimizer = build_optimizer(out, OptimizerSettings(muon_lr=0.02, adamw_lr=1e-2))
    ids = torch.tensor([d.ids for d in chat.dialogues(PROMPTS, ["yes"] * 4)])
    for _ in range(60):
        next_token_loss(out(ids), ids).backward()
        optimizer.step()
        optimizer.zero_grad()
        out.balance(0.0)
    return out.eval()


def test_answers_are_the_models_own(
    model: Any, tokenizer: Any, chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_replay, "ANSWER_TOKENS", 8)
    got = answer_replay.sample(model, tokenizer, PROMPTS, 3, 1, tmp_path / "a.json")
    want = [d.ids for d in chat.dialogues(PROMPTS, ["yes"] * 4)]
    assert 2 <= sum(ids in want for ids in got) <= len(got) <= 3
    assert all(ids[0] == tokenizer.eos_token_id and ids[-1] == chat.end for ids in got)
    assert answer_replay.sample(model, tokenizer, PROMPTS, 3, 1, tmp_path / "b.json") == got
    monkeypatch.setattr(rollout, "answer", None)  # the second time from the file
    assert answer_replay.sample(model, tokenizer, PROMPTS, 3, 1, tmp_path / "a.json") == got


def test_prompts_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": p, "lang": "en"}) + "\n" for p in PROMPTS))
    assert answer_replay.read_prompts(str(path)) == PROMPTS
    path.write_text('{"prompt": "a"}\n{"prompt": 3}\n')
    with pytest.raises(InputError, match="line 2"):
        answer_replay.read_prompts(str(path))
    with pytest.raises(InputError, match="no such file"):
        answer_replay.read_prompts(str(tmp_path / "none"))


def test_divergence_is_the_mean_kl_of_the_predictions() -> None:
    taught = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]])
    own = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    p, q = taught.softmax(-1), own.softmax(-1)
    want = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(answer_replay.divergence(own, taught), want)
    assert answer_replay.divergence(taught, taught).item() == pytest.approx(0, abs=1e-6)
