"""A stage of alignment is one file, one entry, one test: a new one is registered, and trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.flows.verbs.models import align
from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import ValidationError
from headrace.infra.subprocess_jobs import job_main, run_job
from headrace.tasks.curves import plotted
from headrace.tasks.models.stage_metrics import measured_by
from headrace.tasks.models.training import align_of, validate_examples
from headrace.training.chat_template import Chat, Dialogue, batch
from headrace.training.curves import Curve
from headrace.training.engine import Engine, prepare
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.objective import Objective
from headrace.training.optimizer import build_optimizer
from headrace.training.results import StageMetrics, StageResult
from headrace.training.rlhf import losses
from headrace.training.rlhf.alignment_run import StageRun, identify
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.gain import paired
from headrace.training.rlhf.jobs import StageJob
from headrace.training.rlhf.settings import AlignSettings, Rates, Saving, StageSettings
from headrace.training.rlhf.sft import response_nats
from headrace.training.rlhf.stages import STAGES, AlignmentStage

# The file of the stage.


class EchoSettings(StageSettings):
    """Say the prompt's keyword."""

    steps: int = 4
    checkpoint: Saving = Saving(every=2)


class EchoJob(StageJob):
    """One run of echo."""

    settings: EchoSettings = EchoSettings()


class Echo(Objective):
    """Nats per token of the keyword, given the prompt."""

    def __init__(self, model: MoEForCausalLM, dialogues: list[Dialogue], pad: int) -> None:
        self.model: MoEForCausalLM = model
        self.dialogues, self.pad = dialogues, pad

    def step(self, engine: Engine, number: int) -> dict[str, float]:
        inputs, targets, mask = batch(self.dialogues[number * 4 :][:4], self.pad)
        loss = losses.supervised(self.model(inputs), targets, mask)
        return {"echo_loss": loss.item(), "gradient": engine.step(loss)}

    def note(self, figures: dict[str, float]) -> str:
        return f"echo {figures['echo_loss']:.3f}"


def echo(job: EchoJob) -> StageResult[StageMetrics]:
    """Train, and measure the nats of held-out keywords."""
    run = StageRun(job.output, identify(ECHO.name, job), StageMetrics)
    if done := run.result():
        return done
    prepare(job.seed)
    base = local_folder(job.model, "the model")
    model = export.load(base)
    chat = Chat.of(export.load_tokenizer(base), model.config.max_position_embeddings)
    data = examples.read(job.data, ECHO.columns, job.settings.heldout, 8)
    train, held = (
        chat.dialogues([r["prompt"] for r in part], [r["keyword"] for r in part])
        for part in (data.train, data.heldout)
    )
    before = response_nats(model, held, chat.pad)
    run.trainer(
        Echo(model, train, chat.pad),
        build_optimizer(model, Rates()),
        job.settings.steps,
        title="echo",
        clip=1.0,
        saving=job.settings.checkpoint,
    ).train()
    after = response_nats(model, held, chat.pad)
    gain = paired(after, before, job.seed)
    export.save(model, run.export, base, export.Card(stage=ECHO.name), chat.format)
    return run.finish(
        StageMetrics(
            name=ECHO.measure,
            better="lower",
            before=float(before.mean()),
            after=float(after.mean()),
            gain=gain.value,
            low=gain.low,
            high=gain.high,
            n=len(held),
        )
    )


# Its entry.

ECHO = AlignmentStage(
    name="echo",
    module=Path(__file__).stem,
    job=EchoJob,
    columns=("prompt", "keyword"),
    measure="keyword_nats",
    measured_by="nats of the prompt's keyword",
    curves=(Curve("loss", {"echo_loss": "keywords"}, "nats per token"),),
)


class WithEcho(AlignSettings):
    """The settings with a field for the stage."""

    echo: EchoSettings = EchoSettings()


# Its test.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for part, count in (("train", 24), ("heldout", 8)):
        rows = [{"prompt": f"Say river {n}", "keyword": "river"} for n in range(count)]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_a_new_stage_is_checked_trained_and_reported(
    world: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STAGES, ECHO.name, ECHO)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    settings = WithEcho.model_validate({"echo": {"steps": 5}})
    job = align_of(ECHO.name, settings, Shared(), str(world.base), str(data))
    assert isinstance(job, EchoJob) and job.settings.steps == 5
    assert Path(job.output).name.startswith("echo-")
    validate_examples.fn(ECHO.name, job)
    result: Any = run_job(ECHO.module, job, Path(job.output))
    assert result == echo(job).as_json(), "finished: the same answer"
    assert result["stage"] == "echo" and result["metrics"]["after"] < result["metrics"]["before"]
    lines = [json.loads(x) for x in (Path(job.output) / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [1, 2, 3, 4, 5]
    assert plotted(ECHO.name) == {"echo_loss"} <= lines[0].keys()
    assert measured_by(result["metrics"]["name"]) == "nats of the prompt's keyword"
    assert storage.exists(f"{result['export']}/model.safetensors")


def test_data_without_a_column_of_the_stage_is_refused(
    world: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STAGES, ECHO.name, ECHO)
    (data / "train.jsonl").write_text('{"prompt": "Say"}\n')
    job = align_of(ECHO.name, WithEcho(), Shared(), str(world.base), str(data))
    with pytest.raises(ValidationError, match="no `keyword`"):
        validate_examples.fn(ECHO.name, job)


def test_the_command_and_the_settings_have_the_stages() -> None:
    (stage,) = (p for p in align.params if p.name == "stage")
    assert set(STAGES) == {"sft", "reward", "ppo"} < set(stage.type.choices)
    assert STAGES.keys() <= AlignSettings.model_fields.keys()
    for entry in STAGES.values():
        kind = entry.job.model_fields["settings"].annotation
        assert AlignSettings.model_fields[entry.name].annotation is kind


if __name__ == "__main__":
    job_main(EchoJob, echo)
