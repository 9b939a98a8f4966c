"""Training stages: each a separate process that resumes from its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from headrace.infra import storage
from headrace.infra.artifacts import (
    Gain,
    Inputs,
    Lineage,
    Model,
    Pretraining,
    TokenSet,
    find,
    produce,
    refs,
)
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.infra.json_types import Json
from headrace.infra.lineage import code_version, digest
from headrace.infra.state import lock
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import run_job
from headrace.tasks.configuration.settings import AlignConfig, PretrainConfig, component
from headrace.tasks.input_checks import check_fresh
from headrace.tasks.mlflow_log import stage_run
from headrace.tasks.model_refs import resolve_model
from headrace.tasks.task import refuse_failed, step
from headrace.training import pretrain
from headrace.training.identity import deciding_result
from headrace.training.pretrain import PretrainJob as PretrainJob
from headrace.training.rlhf.alignment_run import identity
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.jobs import StageJob
from headrace.training.rlhf.settings import AlignSettings
from headrace.training.rlhf.stages import STAGES
from headrace.training.settings import PretrainSettings

if TYPE_CHECKING:
    from headrace.training.plan import Plan


def local_folder(uri: str, option: str) -> Path:
    """Return the path of a folder that a trainer writes.

    Raises:
        UsageError: not a local path.
    """
    path = storage.local_path(uri)
    if path is None:
        raise UsageError(f"{option} {uri}: a trainer writes local folders", "give a local path")
    return path


def pretrain_job(settings: PretrainConfig, data: str, output: str, resume: bool) -> PretrainJob:
    """Return the job of `headrace pretrain`.

    Raises:
        UsageError: no fresh start is possible in a folder that holds a run.
    """
    folder = local_folder(output, "--output")
    if not resume:
        check_fresh(folder)
    chosen = component(settings, PretrainSettings)
    return _pretraining(TokenSet.load(data), chosen, settings, folder)


def pretrain_of(tokens: TokenSet, settings: PretrainSettings, shared: Shared) -> PretrainJob:
    """Pretraining on token shards, in a run folder that its identity names."""
    job = _pretraining(tokens, settings, shared, Path())
    return job.model_copy(update={"output": _folder_of("pretrain", pretrain.identity(job))})


def _pretraining(
    tokens: TokenSet, settings: PretrainSettings, shared: Shared, output: Path
) -> PretrainJob:
    lineage = Lineage(
        release_id=tokens.release_id,
        tokenizer=tokens.tokenizer.get("sha256"),
        code_version=code_version("training"),
    )
    return PretrainJob(
        data=tokens.folder,
        output=str(output),
        settings=settings,
        seed=shared.seed,
        lineage=lineage.as_json(),
    )


def _folder_of(stage: str, identity: Json) -> str:
    """Return the run folder of what decides a stage's weights."""
    return str(Inputs.deciding(stage, identity).folder)


def _inputs(job: PretrainJob | StageJob, identity: Json) -> Inputs:
    """Return the inputs of a stage's figures, in the run folder that its weights decide."""
    variant = digest([identity, deciding_result(job.settings)])[:8]
    made_of = [job.data]
    if not isinstance(job, PretrainJob):
        made_of.append(job.model)
        made_of += [getattr(job, name, None) or "" for name in ("reward", "replay")]
    return Inputs(Path(job.output), f"model-{variant}.json", refs(*made_of))


@step("pretrain")
def pretrain_model(job: PretrainJob, parent: str | None = None) -> Model:
    """MoE pretraining.

    Raises:
        UsageError: the run folder holds a run with other data or settings.
    """
    called: list[int] = []

    def make(folder: Path) -> Model:
        answer = run_job("headrace.training.pretrain", job, folder, job.settings.processes)
        pretraining = Pretraining.model_validate(answer)
        called.append(pretraining.resumed_from)
        return Model(stage="pretrain", pretraining=pretraining)

    with _recorded("pretrain", job, parent) as record:
        model = produce(Model, _inputs(job, pretrain.identity(job)), make)
        assert model.pretraining is not None, "it was stored with its figures"
        resumed = {"resumed_from": called[0] if called else model.pretraining.steps}
        figures = model.pretraining.model_copy(update=resumed)
        model = model.model_copy(update={"pretraining": figures})
        return model.model_copy(update={"run_id": record(figures.as_json())})


def _recorded(
    stage: str, job: PretrainJob | StageJob, parent: str | None
) -> AbstractContextManager[Callable[[dict[str, JsonValue]], str]]:
    """Open the stage's run in MLflow (see `stage_run`)."""
    variant = digest(deciding_result(job.settings))
    settings = job.settings.model_dump()
    if isinstance(job, PretrainJob):  # the preset's recipe where they leave it open
        settings |= pretrain.recipe_of(job.settings).model_dump()
    return stage_run(stage, job.output, settings, job.lineage, parent, variant=variant)


def align_job(
    stage: str, settings: AlignConfig, model: str, data: str, output: str, reward: str | None
) -> StageJob:
    """Return the job of `headrace align STAGE`."""
    export = resolve_model(model, settings)
    folder = str(local_folder(output, "--output"))
    chosen = component(settings, AlignSettings)
    judge = str(resolve_model(reward, settings)) if reward else None
    return _align(stage, chosen, settings, export, storage.display(data), folder, judge)


def align_of(
    stage: str,
    settings: AlignSettings,
    shared: Shared,
    export: str,
    data: str,
    reward: str | None = None,
    replay: str | None = None,
) -> StageJob:
    """Return a stage of alignment in a run folder that its identity names."""
    job = _align(stage, settings, shared, Path(export), data, "", reward, replay)
    return job.model_copy(update={"output": _folder_of(stage, identity(stage, job))})


def _align(
    stage: str,
    settings: AlignSettings,
    shared: Shared,
    export: Path,
    data: str,
    output: str,
    reward: str | None,
    replay: str | None = None,
) -> StageJob:
    lineage = Lineage.of(export).with_(code_version=code_version("training")).as_json()
    kind = STAGES[stage]
    fields = {
        "model": str(export),
        "data": data,
        "output": output,
        "seed": shared.seed,
        "settings": getattr(settings, stage),
        "lineage": lineage,
    }
    if kind.needs_reward:
        fields["reward"] = str(reward)
    if replay is not None:
        fields["replay"] = replay
    return kind.job.model_validate(fields)


@step("validate alignment data")
def validate_examples(stage: str, job: StageJob) -> None:
    """Hold a stage's data against the expectations, before a process trains on them.

    Raises:
        InputError: a line can't be read.
        ValidationError: a row lacks text, or an expectation failed.
    """
    from headrace.expectations.preferences import validate

    if find(Model, _inputs(job, identity(stage, job))):
        return
    columns = STAGES[stage].columns
    data = examples.read(job.data, columns, job.settings.heldout, least=1)
    for part, rows in (("training", data.train), ("held-out", data.heldout)):
        refuse_failed(validate(rows, columns), f"{job.data}, {part} rows")


@step("align")
def run_alignment(stage: str, job: StageJob, parent: str | None = None) -> Model:
    """One stage of alignment."""

    def make(folder: Path) -> Model:
        answer = run_job(STAGES[stage].module, job, folder)
        return Model(stage=stage, gain=Gain.model_validate(answer["metrics"]))

    with _recorded(stage, job, parent) as record:
        model = produce(Model, _inputs(job, identity(stage, job)), make)
        assert model.gain is not None, "it was stored with its figures"
        run = record({"stage": stage, "metrics": model.gain.as_json()})
        return model.model_copy(update={"run_id": run})


def plan_preset(settings: PretrainConfig, gpus: int, gpu: str) -> Plan:
    """Return what the preset of the settings takes on some devices."""
    from headrace.training.plan import plan

    return plan(component(settings, PretrainSettings), gpus, gpu)


def generate_text(
    model: str, prompt: str, max_tokens: int, temperature: float, shared: Shared
) -> str:
    """Return what a model says: an aligned one answers the prompt, any other continues it."""
    from headrace.training.generate import sample
    from headrace.training.moe.export import chat_format, load, load_tokenizer

    lock.work_in(home())
    export = resolve_model(model, shared)
    tokenizer = load_tokenizer(export)
    texts: list[str] = sample(
        load(export),
        tokenizer,
        [prompt],
        chat=chat_format(export, tokenizer),
        max_new_tokens=max_tokens,
        temperature=temperature,
        seed=shared.seed,
    )
    return texts[0]
