"""Pretraining: token shards in, a run folder with checkpoints, metrics and an export out.

    OUTPUT/checkpoints/  metrics.jsonl  export/  result.json (last)

Killed at any moment and started again with the same job it resumes (trainer.py). A finished run
answers at once.

Several processes are ranks, which divide each batch's rows and each layer's experts among
themselves; what is written is the first one's work. Figures and files are those of one process, to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from headrace.infra import lineage, storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import job_main
from headrace.training import checkpoint
from headrace.training.callbacks.experts import Balance
from headrace.training.callbacks.heldout import Heldout, heldout_figures
from headrace.training.callbacks.speed import Speed
from headrace.training.data.shards import Shards
from headrace.training.distributed import Ranks
from headrace.training.engine import prepare
from headrace.training.identity import deciding_weights
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.export import Card, load, save
from headrace.training.moe.model import MoEForCausalLM, count_parameters
from headrace.training.moe.presets import Recipe, preset
from headrace.training.next_token import NextToken
from headrace.training.optimizer import build_optimizer
from headrace.training.results import PretrainResult
from headrace.training.settings import OptimizerSettings, PretrainSettings
from headrace.training.trainer import Trainer

FIGURES = ("loss", "heldout_loss", "heldout_bits_per_byte")
"""Figures of the last step that the result has."""


class PretrainJob(Settings):
    """One pretraining run."""

    data: str
    """Output folder of tokenize."""
    output: str
    """Run folder."""
    settings: PretrainSettings = PretrainSettings()
    """How."""
    seed: int = 20260101
    """Seed of the first weights."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """What the export's lineage.json and card say: release id, code version."""


def shape(settings: PretrainSettings, shards: Shards) -> MoEConfig:
    """Return the preset's shape with the vocabulary and context of the token shards."""
    config = preset(settings.preset).model.model_copy(
        update={"vocab_size": shards.vocabulary, "max_position_embeddings": shards.length}
    )
    return config.dense() if settings.dense else config


def recipe_of(settings: PretrainSettings) -> Recipe:
    """Return the preset's recipe with what the settings say instead.

    Raises:
        UsageError: there is no such preset.
    """
    own = {k: getattr(settings, k) for k in Recipe.model_fields}
    given = {k: v for k, v in own.items() if v is not None}
    return preset(settings.preset).recipe.model_copy(update=given)


def identity(job: PretrainJob) -> str:
    """Stands for all that decides the weights: nothing of another identity is resumed or reused.

    Raises:
        InputError: the data are no token shards.
        UsageError: there is no such preset.
    """
    shards = Shards(job.data)
    return _identity(job, shards, recipe_of(job.settings), shape(job.settings, shards))


def _identity(job: PretrainJob, shards: Shards, recipe: Recipe, config: MoEConfig) -> str:
    return lineage.digest(
        {
            "data": [shards.manifest.get(k) for k in ("release_id", "tokenizer", "files")],
            "settings": deciding_weights(job.settings) | recipe.model_dump(),
            "model": config.model_dump(),
            "seed": job.seed,
        }
    )


def pretrain(job: PretrainJob) -> PretrainResult:
    """Train, or resume, or return the result of a run that is finished.

    Of several ranks only the first one's result is whole.

    Raises:
        InputError: the data are no token shards.
        ValidationError: there is too little text for one batch.
        UsageError: the output holds another run, the preset is too large for this machine, or
            experts or rows can't be divided by the number of processes.
        DivergedError: loss or gradients are not finite.
    """
    shards, asked, recipe = Shards(job.data), job.settings, recipe_of(job.settings)
    config = shape(asked, shards)
    total, active = count_parameters(config)
    if total > 2_000_000_000:
        raise UsageError(
            f"preset {asked.preset} has {total / 1e9:.0f}B parameters: too many for this machine",
            f"`headrace plan --preset {asked.preset} --gpus N --gpu NAME` says what it takes",
        )
    ranks = Ranks.current()
    _require_even(config, recipe.rows, ranks.size)
    shards.require(recipe.rows)
    output = Path(storage.display(job.output))
    own = _identity(job, shards, recipe, config)
    checkpoint.latest(output / checkpoint.FOLDER, own)  # another run is refused before any work
    if finished := _finished(output, own, asked, shards, ranks):
        return finished

    prepare(job.seed)
    model = MoEForCausalLM(config).train()
    _freeze_unused_embeddings(model, shards.marks)
    if ranks.size > 1:
        from headrace.training.moe import parallel

        parallel.divide(model, ranks)
    speed = Speed(recipe.rows * shards.length)
    trained = _trainer(job, model, shards, recipe, own, ranks, speed).train()
    if ranks.size > 1:
        parallel.unite(model, ranks)
    result = PretrainResult(
        export=str(output / "export"),
        steps=recipe.steps,
        tokens=recipe.steps * recipe.rows * shards.length,
        total_parameters=total,
        active_parameters=active,
        identity=own,
        heldout_rows=asked.heldout_rows,
        resumed_from=trained.resumed_from,
        tokens_per_second=round(speed.tokens_per_second, 1),
        **{k: trained.last[k] for k in FIGURES if k in trained.last},
    )
    if ranks.first:
        _export(job, model, shards, result)
        storage.write_json(output / "result.json", result.as_json())
    return result


def _trainer(
    job: PretrainJob,
    model: MoEForCausalLM,
    shards: Shards,
    recipe: Recipe,
    identity: str,
    ranks: Ranks,
    speed: Speed,
) -> Trainer:
    asked, rows, apart = job.settings, recipe.rows, job.settings.separate_documents
    rates = OptimizerSettings(
        muon_lr=recipe.muon_lr, adamw_lr=recipe.adamw_lr, embedding_lr=recipe.embedding_lr
    )
    every = asked.heldout_every or max(1, math.ceil(recipe.steps / 8))
    return Trainer(
        NextToken(model, shards.train, rows, apart, ranks),
        build_optimizer(model, rates),
        recipe.steps,
        Path(storage.display(job.output)),
        identity,
        title="pretrain",
        clip=asked.clip,
        saving=asked.checkpoint,
        callbacks=[
            Balance(model, asked.balance_rate, ranks),
            # All ranks measure all rows: that is little work, and the experts are needed anyway.
            Heldout(model, shards, every, asked.heldout_rows, apart),
            speed,
        ],
        ranks=ranks,
    )


def _export(
    job: PretrainJob, model: MoEForCausalLM, shards: Shards, result: PretrainResult
) -> None:
    figures = result.as_json()
    card = Card(
        stage="pretrain",
        lineage={"release_id": shards.manifest.get("release_id"), **job.lineage, "seed": job.seed},
        metrics={k: v for k, v in figures.items() if k in (*FIGURES, "tokens")},
        settings=deciding_weights(job.settings),
    )
    save(model, Path(result.export), Path(shards.tokenizer), card)


def _require_even(config: MoEConfig, rows: int, processes: int) -> None:
    if rows % processes:
        raise UsageError(
            f"{rows} rows per batch can't be divided evenly among {processes} processes",
            "set rows (in `run`: pretrain.rows) to a multiple of processes",
        )
    if config.moe_layers and config.n_routed_experts % processes:
        raise UsageError(
            f"{config.n_routed_experts} experts can't be divided evenly among "
            f"{processes} processes",
            "set processes (in `run`: pretrain.processes) to a divisor of the number of experts",
        )


def _finished(
    output: Path, own: str, settings: PretrainSettings, shards: Shards, ranks: Ranks
) -> PretrainResult | None:
    """Return the result of a run that is done, as a further call gives it.

    Where that call asks for another number of held-out rows, only those are measured again.

    Raises:
        UsageError: the run had other data or settings.
    """
    path = output / "result.json"
    if not path.exists() or not (output / "export").exists():
        return None
    result = PretrainResult.model_validate(storage.read_json(path))
    if result.identity != own:
        # Its checkpoints say the same, but they may have been removed since it ended.
        raise UsageError(
            f"{output} holds a run with other data or settings",
            "use another output folder, or remove this one",
        )
    rows = settings.heldout_rows
    if result.heldout_rows != rows:
        figures = heldout_figures(
            load(output / "export"), shards, rows, settings.separate_documents
        )
        result = result.model_copy(update={"heldout_rows": rows, **figures})
        if ranks.first:
            storage.write_json(path, result.as_json())
    return result.model_copy(update={"resumed_from": result.steps})


def _freeze_unused_embeddings(model: MoEForCausalLM, ids: list[int]) -> None:
    """Freeze the embedding rows of tokens that never occur.

    As outputs they are only ever pushed away, all the same way, and Adam makes full steps of the
    smallest push: after 785 steps the chat marks were three times as long as other tokens and
    alike to within 0.0002 in cosine. From there SFT cost the language model twice as much
    (docs/alignment.md).
    """
    table, rows = model.model.embed_tokens.weight, torch.tensor(ids, dtype=torch.int64)
    hook: Callable[[Callable[[Tensor], Tensor]], object] = table.register_hook
    hook(lambda gradient: gradient.index_fill(0, rows, 0.0))


if __name__ == "__main__":
    job_main(PretrainJob, pretrain)
