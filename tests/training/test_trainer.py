"""The training loop: what it writes, and that a kill at any step changes no bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from kill import Killed
from torch import nn

from headrace.infra.errors import UsageError
from headrace.training import checkpoint
from headrace.training.callbacks.base import Callback, Run, Step
from headrace.training.engine import Engine, prepare
from headrace.training.objective import Objective
from headrace.training.optimizer import build_optimizer
from headrace.training.settings import CheckpointSettings, OptimizerSettings
from headrace.training.trainer import Trained, Trainer

STEPS = 9


class Line(Objective):
    """Fit noisy points of a line; draws random numbers, which a checkpoint must restore."""

    def __init__(self, fatal: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Linear = nn.Linear(2, 1)
        self.fatal = fatal

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        if number == self.fatal:
            raise Killed
        x = torch.rand(4, 2)
        loss = (self.model(x).squeeze() - x.sum(1)).square().mean()
        return {"loss": loss.item(), "norm": engine.step(loss)}


class Sum(Callback):
    """Add up the losses, and stop when the sum is large."""

    def __init__(self, most: float = 1e9) -> None:
        self.total, self.most, self.closed = 0.0, most, False

    def begin(self, run: Run) -> None:
        total = run.state.get("total", 0.0)
        assert isinstance(total, float)
        self.total = total

    def after(self, step: Step) -> None:
        self.total += step.record["loss"]
        step.record["total"] = step.state["total"] = self.total

    def should_stop(self) -> bool:
        return self.total > self.most

    def close(self) -> None:
        self.closed = True


def train(
    folder: Path, fatal: int | None = None, callback: Sum | None = None, identity: str = "a"
) -> Trained:
    prepare(1)
    objective = Line(fatal)
    return Trainer(
        objective,
        build_optimizer(objective.model, OptimizerSettings()),
        STEPS,
        folder,
        identity,
        title="line",
        clip=1.0,
        saving=CheckpointSettings(every=3),
        callbacks=[callback or Sum()],
    ).train()


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("line")
    return folder, train(folder)


def test_a_line_per_step_and_the_newest_checkpoints(whole: tuple[Path, Trained]) -> None:
    folder, trained = whole
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == list(range(1, STEPS + 1))
    assert list(lines[0]) == ["step", "loss", "norm", "total"]
    assert (trained.steps, trained.resumed_from, trained.last) == (STEPS, 0, lines[-1])
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == [
        "step-00000006",
        "step-00000009",
    ]
    state = json.loads((folder / "checkpoints/step-00000009/state.json").read_text())
    assert state["total"] == lines[-1]["total"]


@pytest.mark.parametrize("fatal", range(STEPS))
def test_killed_at_any_step_it_ends_with_the_same_bits(
    whole: tuple[Path, Trained], tmp_path: Path, fatal: int
) -> None:
    callback = Sum()
    with pytest.raises(Killed):
        train(tmp_path, fatal, callback)
    assert callback.closed
    with (tmp_path / "metrics.jsonl").open("ab") as f:
        f.write(b'{"step": 8, "loss": 1.0}\n{"st')  # lines that no checkpoint knows of
    trained = train(tmp_path)
    assert trained.resumed_from == fatal // 3 * 3
    assert trained.last == whole[1].last
    assert files(tmp_path) == files(whole[0])


def test_a_finished_training_takes_no_step(whole: tuple[Path, Trained]) -> None:
    before = files(whole[0])
    assert train(whole[0], fatal=0) == Trained(STEPS, STEPS, whole[1].last)
    assert files(whole[0]) == before


def test_a_callback_stops_it(tmp_path: Path, whole: tuple[Path, Trained]) -> None:
    most = whole[1].last["total"] / 2
    trained = train(tmp_path, callback=Sum(most))
    assert 0 < trained.steps < STEPS and trained.last["total"] > most
    again = train(tmp_path, callback=Sum(most))
    assert (again.steps, again.last) == (trained.steps, trained.last)


def test_another_identity_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match="other data or settings"):
        train(tmp_path, identity="b")
    assert files(tmp_path) == before


def test_threads_are_recorded(whole: tuple[Path, Trained]) -> None:
    found = checkpoint.latest(whole[0] / checkpoint.FOLDER, "a")
    assert found is not None and found.threads == torch.get_num_threads()
