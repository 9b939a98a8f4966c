"""Pretraining end to end on invented text: what it leaves, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headrace.infra.errors import UsageError, ValidationError
from headrace.tasks.curves import plotted
from headrace.training.callbacks.metrics import read
from headrace.training.data.shards import Shards
from headrace.training.engine import prepare
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.pretrain import PretrainJob, identity, pretrain
from headrace.training.results import PretrainResult
from headrace.training.settings import PretrainSettings

STEPS = 24
SETTINGS: dict[str, Any] = {"preset": "test", "steps": STEPS, "checkpoint": {"every": 6}}


def job(data: Path, output: Path, **changed: Any) -> PretrainJob:
    settings = PretrainSettings.model_validate(SETTINGS | changed)
    return PretrainJob(data=str(data), output=str(output), settings=settings, seed=7)


def trace(folder: Path) -> list[tuple[float, float, float]]:
    return [(x["step"], x["loss"], x["grad_norm"]) for x in read(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, shards_folder: Path
) -> tuple[Path, PretrainResult]:
    output = tmp_path_factory.mktemp("pretrain") / "ref"
    return output, pretrain(job(shards_folder, output))


def test_the_run_folder_and_the_answer(
    done: tuple[Path, PretrainResult], shards_folder: Path
) -> None:
    output, answer = done
    assert answer.steps == STEPS and answer.tokens == STEPS * 4 * 64
    assert answer.resumed_from == 0 and answer.export == str(output / "export")
    assert answer.total_parameters > answer.active_parameters > 0
    lines = read(output / "metrics.jsonl")
    assert [x["step"] for x in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.3
    assert lines[-1]["heldout_loss"] < lines[2]["heldout_loss"]
    assert {"lr", "tokens", "tokens_per_second", "grad_norm", "expert_load"} <= lines[0].keys()
    assert plotted("pretrain") <= lines[-1].keys()
    assert all(x["lr"] > 0 for x in lines)
    assert sorted(p.name for p in (output / "checkpoints").iterdir()) == [
        "step-00000018",
        "step-00000024",
    ]
    assert export.load(output / "export").config.vocab_size == 320
    assert json.loads((output / "export/lineage.json").read_text())["release_id"] == "r1"


def test_rows_of_tokens_that_no_text_holds_stay_as_they_began(
    done: tuple[Path, PretrainResult], shards_folder: Path
) -> None:
    output, _ = done
    marks = Shards(str(shards_folder)).marks
    model = export.load(output / "export")
    prepare(7)
    began = MoEForCausalLM(model.config).model.embed_tokens.weight
    ended = model.model.embed_tokens.weight
    same = (began == ended).all(dim=1)
    assert marks and same[marks].all()
    assert not same[[i for i in range(5, 200) if i not in marks]].any()


def test_a_finished_run_answers_at_once(
    done: tuple[Path, PretrainResult], shards_folder: Path
) -> None:
    output, answer = done
    before = (output / "export" / export.WEIGHTS).stat().st_mtime_ns
    assert pretrain(job(shards_folder, output)) == answer.model_copy(update={"resumed_from": STEPS})
    assert (output / "export" / export.WEIGHTS).stat().st_mtime_ns == before


def test_a_finished_run_needs_its_checkpoints_no_more(
    done: tuple[Path, PretrainResult], shards_folder: Path, tmp_path: Path
) -> None:
    output, answer = tmp_path / "copy", done[1]
    shutil.copytree(done[0], output, ignore=shutil.ignore_patterns("checkpoints"))
    said = pretrain(job(shards_folder, output))
    assert said.resumed_from == STEPS and said.heldout_loss == answer.heldout_loss
    with pytest.raises(UsageError, match="other data or settings"):
        pretrain(job(shards_folder, output, steps=STEPS + 1))


def test_other_settings_do_not_overwrite_a_run(
    done: tuple[Path, PretrainResult], shards_folder: Path
) -> None:
    with pytest.raises(UsageError, match="other data or settings"):
        pretrain(job(shards_folder, done[0], steps=STEPS + 1))


def test_what_decides_no_weight_changes_no_byte_and_trains_nothing_again(
    done: tuple[Path, PretrainResult], shards_folder: Path, tmp_path: Path
) -> None:
    output, answer = done
    few = {"checkpoint": {"every": 5, "keep": 1}, "heldout_every": 7, "heldout_rows": 8}
    other = job(shards_folder, tmp_path / "o", **few)
    assert identity(other) == identity(job(shards_folder, output)) == answer.identity
    made = pretrain(other)
    for name in (export.WEIGHTS, "config.json"):
        assert (tmp_path / "o/export" / name).read_bytes() == (
            output / "export" / name
        ).read_bytes()
    assert trace(tmp_path / "o") == trace(output)
    # The finished run of other settings answers with the figures that are asked for.
    copy = tmp_path / "copy"
    shutil.copytree(output, copy)
    again = pretrain(job(shards_folder, copy, **few))
    assert again.resumed_from == STEPS
    assert again.heldout_loss == pytest.approx(made.heldout_loss, rel=1e-9)
    assert again.heldout_loss != answer.heldout_loss
    assert pretrain(job(shards_folder, copy, **few)) == again
    assert trace(copy) == trace(output)


def test_a_figure_of_the_recipe_that_is_said_aloud_is_the_same_run(shards_folder: Path) -> None:
    plain = job(shards_folder, Path("a"), steps=None)
    recipe = {"steps": 120, "rows": 4, "muon_lr": 0.02, "adamw_lr": 3e-3, "embedding_lr": 0.04}
    assert identity(plain) == identity(job(shards_folder, Path("b"), **recipe))
    for name, value in recipe.items():
        other = recipe | {name: value * 2}
        assert identity(plain) != identity(job(shards_folder, Path("b"), **other)), name


def test_killed_anywhere_it_ends_with_the_same_bits(
    done: tuple[Path, PretrainResult], shards_folder: Path, tmp_path: Path
) -> None:
    output, metrics = tmp_path / "killed", tmp_path / "killed" / "metrics.jsonl"
    file = tmp_path / "job.json"
    file.write_text(job(shards_folder, output).model_dump_json())
    # The undisturbed run used this process's threads: the other one must use as many.
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for lines in (8, 15):
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace.training.pretrain", str(file)],
            env=env,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not (
            metrics.exists() and metrics.read_bytes().count(b"\n") >= lines
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        metrics.write_bytes(metrics.read_bytes()[:-9])  # the line being written
    answer = pretrain(job(shards_folder, output))
    assert 6 <= answer.resumed_from < STEPS
    assert trace(output) == trace(done[0])
    same = [(d / "export" / export.WEIGHTS).read_bytes() for d in (output, done[0])]
    assert same[0] == same[1]


def test_training_and_measuring_see_each_document_apart(
    shards_folder: Path, tmp_path: Path, watch: Any
) -> None:
    shards = Shards(str(shards_folder))
    seen = watch(np.concatenate([s.take(0, s.rows).ids for s in (shards.train, shards.heldout)]))
    pretrain(job(shards_folder, tmp_path / "o", steps=3, heldout_rows=8))
    assert seen.apart >= 3 * 4 + 8 and not seen.mixed


def test_too_little_text_is_said(shards_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="too little text"):
        pretrain(job(shards_folder, tmp_path / "o", rows=1000))


def test_a_model_too_large_for_the_machine_is_refused(shards_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too many for this machine"):
        pretrain(job(shards_folder, tmp_path / "o", preset="moe-175b"))
