"""Training stages: each a process of its own that resumes from its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.infra.lineage import code_version, digest
from headrace.infra.state import busy
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import run_job
from headrace.tasks.configuration.settings import AlignVerb, PretrainVerb, component
from headrace.tasks.input_checks import check_fresh, tokens_manifest
from headrace.tasks.mlflow_log import stage_run
from headrace.tasks.model_refs import lineage_of, resolve_model
from headrace.tasks.task import refuse_failed, run_folder, step
from headrace.training import pretrain
from headrace.training.identity import deciding_result
from headrace.training.pretrain import PretrainJob as PretrainJob
from headrace.training.rlhf.alignment_run import identity
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.jobs import StageJob
from headrace.training.rlhf.settings import AlignSettings
from headrace.training.rlhf.stages import STAGES
from headrace.training.settings import PretrainSettings


def local_folder(uri: str, option: str) -> Path:
    """The path of a folder that a trainer writes.

    Raises:
        UsageError: not a local path.
    """
    path = storage.local_path(uri)
    if path is None:
        raise UsageError(f"{option} {uri}: a trainer writes local folders", "give a local path")
    return path


def pretrain_job(settings: PretrainVerb, data: str, output: str, resume: bool) -> PretrainJob:
    """The job of `headrace pretrain`.

    Raises:
        UsageError: no fresh start is possible in a folder that holds a run.
    """
    folder = local_folder(output, "--output")
    if not resume:
        check_fresh(folder)
    return PretrainJob(
        data=storage.display(data),
        output=str(folder),
        settings=component(settings, PretrainSettings),
        seed=settings.seed,
        lineage=_tokens_lineage(data),
    )


def pretrain_of(tokens: dict[str, Any], settings: PretrainSettings, shared: Shared) -> PretrainJob:
    """Pretraining on token shards, in a run folder that its identity names."""
    job = PretrainJob(
        data=tokens["output"],
        output="",
        settings=settings,
        seed=shared.seed,
        lineage=_tokens_lineage(tokens["output"]),
    )
    return job.model_copy(update={"output": _folder_of("pretrain", pretrain.identity(job))})


def _folder_of(stage: str, identity: Any) -> str:
    """The run folder of a stage's identity, made by the code that is here."""
    return str(run_folder(stage, [identity, code_version("training")]))


def _tokens_lineage(data: str) -> dict[str, Any]:
    value = tokens_manifest(data)
    return {
        "release_id": value["release_id"],
        "tokenizer": value.get("tokenizer", {}).get("sha256"),
        "code_version": code_version("training"),
    }


@step("pretrain")
def pretrain_model(job: PretrainJob, parent: str | None = None) -> dict[str, Any]:
    """MoE pretraining; the answer of `headrace pretrain`."""
    with _recorded("pretrain", job, parent) as record:
        answer = run_job(
            "headrace.training.pretrain", job, Path(job.output), job.settings.processes
        )
        return {**answer, "run_id": record(answer)}


def _recorded(
    stage: str, job: PretrainJob | StageJob, parent: str | None
) -> AbstractContextManager[Callable[[dict[str, Any]], str]]:
    """The stage's run in MLflow (see `stage_run`)."""
    variant = digest(deciding_result(job.settings))
    settings = job.settings.model_dump()
    if isinstance(job, PretrainJob):  # the preset's recipe where they leave it open
        settings |= pretrain.recipe_of(job.settings).model_dump()
    return stage_run(stage, job.output, settings, job.lineage, parent, variant=variant)


def align_job(
    stage: str, settings: AlignVerb, model: str, data: str, output: str, reward: str | None
) -> StageJob:
    """The job of `headrace align STAGE`."""
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
    extra: dict[str, Any] | None = None,
) -> StageJob:
    """A stage of alignment in a run folder that its identity names."""
    job = _align(stage, settings, shared, Path(export), data, "", reward, extra)
    return job.model_copy(update={"output": _folder_of(stage, identity(stage, job))})


def _align(
    stage: str,
    settings: AlignSettings,
    shared: Shared,
    export: Path,
    data: str,
    folder: str,
    reward: str | None,
    extra: dict[str, Any] | None = None,
) -> StageJob:
    lineage = {**lineage_of(export), "code_version": code_version("training")}
    job = STAGES[stage].job
    fields: dict[str, Any] = {
        "model": str(export),
        "data": data,
        "output": folder,
        "seed": shared.seed,
        "settings": getattr(settings, stage),
        "lineage": lineage,
        **(extra or {}),
    }
    if STAGES[stage].needs_reward:
        fields["reward"] = str(reward)
    return job(**fields)


@step("validate alignment data")
def validate_examples(stage: str, job: StageJob) -> None:
    """Hold a stage's data against the expectations, before a process trains on them.

    Raises:
        InputError: a line can't be read.
        ValidationError: a row lacks text, or an expectation failed.
    """
    from headrace.expectations.preferences import validate

    if storage.exists(storage.join(job.output, "result.json")):
        return
    columns = STAGES[stage].columns
    data = examples.read(job.data, columns, job.settings.heldout, least=1)
    for part, rows in (("training", data.train), ("held-out", data.heldout)):
        refuse_failed(validate(rows, columns), f"{job.data}, {part} rows")


@step("align")
def run_alignment(stage: str, job: StageJob, parent: str | None = None) -> dict[str, Any]:
    """One stage of alignment; the answer of `headrace align`."""
    with _recorded(stage, job, parent) as record:
        answer = run_job(STAGES[stage].module, job, Path(job.output))
        return {**answer, "run_id": record(answer)}


def plan_preset(settings: PretrainVerb, gpus: int, gpu: str) -> dict[str, Any]:
    """The answer of `headrace plan`."""
    from headrace.training.plan import plan

    return {**plan(component(settings, PretrainSettings), gpus, gpu)}


def generate_text(
    model: str, prompt: str, max_tokens: int, temperature: float, shared: Shared
) -> str:
    """What a model says: an aligned one answers the prompt, any other continues it."""
    from headrace.training.generate import sample
    from headrace.training.moe.export import chat_format, load, load_tokenizer

    busy.join(home())
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
