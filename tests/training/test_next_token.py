"""Pretraining's objective: batches follow each other through the rows; their loss is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headrace.training.data.batches import batch
from headrace.training.data.shards import Shards
from headrace.training.engine import Engine
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.moe.presets import test as small
from headrace.training.next_token import NextToken
from headrace.training.optimizer import build_optimizer
from headrace.training.settings import OptimizerSettings


def test_the_figures_are_of_the_steps_own_batch(shards_folder: Path) -> None:
    shards = Shards(str(shards_folder))
    config = small().model.model_copy(update={"vocab_size": shards.vocabulary})
    torch.manual_seed(0)
    model = MoEForCausalLM(config)
    seen = batch(shards.train, 3 * 4, 4, separate=True)
    with torch.no_grad():
        want = float(next_token_loss(model(seen.ids, mask=seen.mask), seen.ids))
    optimizer = build_optimizer(model, OptimizerSettings())
    with Engine(model, optimizer) as engine:
        figures = NextToken(model, shards.train, 4, separate=True).step(engine, 3)
    assert list(figures) == ["loss", "lr", "grad_norm"]
    assert figures["loss"] == pytest.approx(want, rel=1e-6)
    assert figures["lr"] == optimizer.param_groups[0]["lr"]
