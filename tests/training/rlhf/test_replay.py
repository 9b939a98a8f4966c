"""Pretraining rows in alignment: a function of seed and step; bits a byte against a plain sum."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.infra.errors import InputError, UsageError
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.replay import Replay, bits_per_byte


def test_rows_depend_on_seed_and_step_alone(world: Any) -> None:
    one, two = Replay(str(world.tokens), world.base), Replay(str(world.tokens), world.base)
    assert torch.equal(one.batch(5, 4, 1), two.batch(5, 4, 1))
    assert not torch.equal(one.batch(5, 4, 1), two.batch(6, 4, 1))
    assert one.batch(5, 4, 1).shape == (4, 32)
    assert one.heldout(3).shape == (3, 32)


def test_bits_a_byte_is_nats_over_the_bytes_of_the_text(
    model: MoEForCausalLM, tokenizer: Any, world: Any
) -> None:
    rows = Replay(str(world.tokens), world.base).heldout(4)
    nats, size = 0.0, 0
    for row in rows.tolist():
        with torch.no_grad():
            logp = model(torch.tensor([row[:-1]]))[0].log_softmax(-1)
        nats -= sum(float(logp[i, t]) for i, t in enumerate(row[1:]))
        size += len(tokenizer.decode([t for t in row[1:] if t != 0]).encode())
    assert bits_per_byte(model, tokenizer, rows) == pytest.approx(
        nats / math.log(2) / size, rel=1e-4
    )


def test_tokens_of_another_tokenizer_are_refused(world: Any, tmp_path: Path) -> None:
    shutil.copytree(world.tokens, tmp_path / "tokens")
    (tmp_path / "tokens" / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="another tokenizer"):
        Replay(str(tmp_path / "tokens"), world.base)
    with pytest.raises(InputError):
        Replay(str(tmp_path), world.base)
