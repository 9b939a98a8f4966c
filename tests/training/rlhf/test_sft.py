"""Supervised fine-tuning on a tiny model: it learns the responses, and a kill changes nothing."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill import dies_at_save

from headrace.infra.errors import UsageError, ValidationError
from headrace.tasks.curves import plotted
from headrace.training import checkpoint
from headrace.training.chat_template import Chat
from headrace.training.data.shards import Shards
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.results import Change
from headrace.training.rlhf.jobs import SFTJob
from headrace.training.rlhf.settings import Saving, SFTSettings
from headrace.training.rlhf.sft import HELDOUT_ROWS, response_nats, sft

SETTINGS = SFTSettings(steps=16, batch=8, replay_rows=2, checkpoint=Saving(every=5))


def job(world: Any, output: Path, **change: Any) -> SFTJob:
    given: dict[str, Any] = {
        "model": str(world.base),
        "data": str(world.sft),
        "output": str(output),
        "replay": str(world.tokens),
        "settings": SETTINGS,
        "seed": 3,
        "lineage": {"release_id": "r1"},
    }
    return SFTJob(**(given | change))


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "export" / "model.safetensors").read_bytes()).hexdigest()


def test_response_nats_leave_the_prompt_and_the_end_mark_out(
    model: MoEForCausalLM, chat: Chat
) -> None:
    some = chat.dialogues(["The river", "A"], ["keeps the valley", "crosses"])
    got = response_nats(model, some, chat.pad)
    for nats, d in zip(got, some, strict=True):
        with torch.no_grad():
            logp = model(torch.tensor([d.ids]))[0].log_softmax(-1)
        expected = -sum(float(logp[i - 1, d.ids[i]]) for i in range(d.start, len(d.ids) - 1))
        assert nats == pytest.approx(expected, rel=1e-4)


def test_gain_export_and_a_kill_in_the_middle(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sft(job(world, tmp_path / "whole"))
    m = whole.metrics
    assert 0 < m.low <= m.gain <= m.high
    assert m.gain == pytest.approx(m.before - m.after)
    assert m.n == 30
    assert m.language.after < m.language.before
    lineage = json.loads((tmp_path / "whole/export/lineage.json").read_text())
    assert lineage["release_id"] == "r1"
    export.load(whole.export)
    chat = export.chat_format(whole.export)
    assert chat is not None and chat.stops == (0, 3)

    with dies_at_save(10):
        sft(job(world, tmp_path / "killed"))
    (tmp_path / "killed" / "metrics.jsonl").open("ab").write(b'{"step": 11, "loss": 1.0}\n{"st')
    again = sft(job(world, tmp_path / "killed"))
    assert again.metrics == m
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
    assert (tmp_path / "killed/metrics.jsonl").read_bytes() == (
        tmp_path / "whole/metrics.jsonl"
    ).read_bytes()
    lines = [json.loads(x) for x in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == list(range(1, 17))
    assert all(math.isfinite(x["loss"]) for x in lines)
    assert plotted("sft") <= lines[0].keys()

    # Finished: the answer comes from disk, nothing is trained, however often it is to be saved.
    monkeypatch.setattr(checkpoint, "save", None)
    often = SETTINGS.model_copy(update={"checkpoint": Saving(every=1, keep=1)})
    assert sft(job(world, tmp_path / "whole")) == whole
    assert sft(job(world, tmp_path / "whole", settings=often)) == whole
    with pytest.raises(UsageError, match="other inputs or settings"):
        sft(job(world, tmp_path / "whole", seed=4))


def test_replayed_rows_and_the_language_metric_see_each_document_apart(
    world: Any, tmp_path: Path, watch: Any
) -> None:
    shards = Shards(str(world.tokens))
    seen = watch(np.concatenate([s.take(0, s.rows).ids for s in (shards.train, shards.heldout)]))
    few = SETTINGS.model_copy(update={"steps": 3})
    sft(job(world, tmp_path / "o", settings=few))
    measured = 2 * min(shards.heldout.rows, HELDOUT_ROWS)
    assert seen.apart == 3 * 2 + measured and not seen.mixed


def test_routing_biases_stay_as_they_were(world: Any, tmp_path: Path) -> None:
    few = SETTINGS.model_copy(update={"steps": 2, "replay_rows": 0})
    made = sft(job(world, tmp_path / "o", settings=few, replay=None))
    before, after = export.load(world.base).state_dict(), export.load(made.export).state_dict()
    biases = [n for n in before if n.endswith("e_score_correction_bias")]
    assert biases
    assert all(torch.equal(before[n], after[n]) for n in biases)
    assert made.metrics.language == Change(before=None, after=None)


def test_too_little_data_is_a_validation_error(world: Any, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 3)
    with pytest.raises(ValidationError, match="too few"):
        sft(job(world, tmp_path / "o", data=str(tmp_path / "few.jsonl")))
