"""Pretraining rows in alignment: a function of seed and step; bits per byte against a plain sum."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.infra.errors import InputError, UsageError
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.pretraining_mix import Replay


def test_steps_follow_each_other_through_the_shards_from_a_row_of_the_seed(world: Any) -> None:
    one, two = (Replay(str(world.tokens), world.base, [1]) for _ in range(2))
    other = Replay(str(world.tokens), world.base, [2])
    assert torch.equal(one.batch(5, 4).ids, two.batch(5, 4).ids)
    assert not torch.equal(one.batch(5, 4).ids, two.batch(6, 4).ids)
    assert not torch.equal(one.batch(5, 4).ids, other.batch(5, 4).ids)
    split = one.shards.train
    steps = math.ceil(split.rows / 4)
    seen = torch.cat([one.batch(step, 4).ids for step in range(steps)])[: split.rows]
    everything = split.take(0, split.rows).ids
    assert sorted(seen.tolist()) == sorted(everything.tolist())  # each row once before any twice


def test_bits_per_byte_is_nats_over_the_bytes_of_the_text(
    model: MoEForCausalLM, tokenizer: Any, world: Any
) -> None:
    """Each document alone: from its start in the row, or the row's, to the next one's first id."""
    replay = Replay(str(world.tokens), world.base, [1])
    rows = replay.shards.heldout.take(0, 4).ids.tolist()
    nats, size, documents = 0.0, 0, 0
    for row in rows:
        begins = sorted({0, *(i for i, t in enumerate(row) if t == 0)})
        for a, b in zip(begins, [*begins[1:], len(row)], strict=True):
            documents += 1
            part = row[a : b + 1]  # the last one's next token belongs to another row
            if len(part) < 2:
                continue
            with torch.no_grad():
                logp = model(torch.tensor([part[:-1]]))[0].log_softmax(-1)
            nats -= sum(float(logp[i, t]) for i, t in enumerate(part[1:]))
        size += len(tokenizer.decode([t for t in row[1:] if t != 0]).encode())
    assert documents > len(rows)
    want = nats / math.log(2) / size
    assert replay.bits_per_byte(model, tokenizer, 4) == pytest.approx(want, rel=1e-4)


def test_tokens_of_another_tokenizer_are_refused(world: Any, tmp_path: Path) -> None:
    shutil.copytree(world.tokens, tmp_path / "tokens")
    (tmp_path / "tokens" / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="another tokenizer"):
        Replay(str(tmp_path / "tokens"), world.base, [1])
    with pytest.raises(InputError):
        Replay(str(tmp_path), world.base, [1])
