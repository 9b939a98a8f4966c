"""Pretraining: token shards in, a run folder with checkpoints, metrics and an export out.

    OUTPUT/checkpoints/  metrics.jsonl  export/  result.json (last)

Killed at any moment and started again with the same job it goes on from the newest checkpoint, and
ends with the same metrics and the same weights as a run that nobody disturbed (same number of
threads). A finished run answers at once.

Several processes are ranks, which divide each batch's rows and each layer's experts among
themselves; what is written is the first one's work. Figures and files are those of one process, to
rounding.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from headrace.infra import lineage, storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.console import Progress
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import job_main
from headrace.training import checkpoint
from headrace.training.callbacks.base import Callback, Step
from headrace.training.callbacks.checkpoints import Checkpoints
from headrace.training.callbacks.experts import Balance
from headrace.training.callbacks.heldout import Heldout, heldout_figures
from headrace.training.callbacks.metrics import Metrics
from headrace.training.callbacks.speed import Speed
from headrace.training.checkpoint import Checkpoint
from headrace.training.data.batches import batch
from headrace.training.data.shards import Shards
from headrace.training.distributed import Ranks
from headrace.training.engine import Engine, prepare
from headrace.training.identity import deciding_weights
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.export import Card, load, save
from headrace.training.moe.model import MoEForCausalLM, next_token_loss
from headrace.training.moe.presets import Recipe, count, preset
from headrace.training.optimizer import MuonAdamW, build_optimizer, set_rate
from headrace.training.settings import OptimizerSettings, PretrainSettings


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
    """The preset's shape with the vocabulary and context of the token shards."""
    config = preset(settings.preset).model.model_copy(
        update={"vocab_size": shards.vocabulary, "max_position_embeddings": shards.length}
    )
    return config.dense() if settings.dense else config


def recipe_of(settings: PretrainSettings) -> Recipe:
    """The preset's recipe with what the settings say instead.

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


def pretrain(job: PretrainJob) -> dict[str, Any]:
    """Result of the run: the contract's keys of `pretrain` but `run_id`, and held-out figures.

    Of several ranks only the first one's is whole.

    Raises:
        InputError: the data are no token shards.
        ValidationError: there is too little text for one batch.
        UsageError: the output holds another run, the preset is too large for this machine, or
            experts or rows can't be divided by the number of processes.
        DivergedError: loss or gradients are not finite.
    """
    shards, asked, recipe = Shards(job.data), job.settings, recipe_of(job.settings)
    config = shape(asked, shards)
    total, active = count(config)
    if total > 2_000_000_000:
        raise UsageError(
            f"preset {asked.preset} has {total / 1e9:.0f}B parameters: not for this machine",
            f"`headrace plan --preset {asked.preset} --gpus N --gpu NAME` says what it takes",
        )
    rows, steps = recipe.rows, recipe.steps
    ranks = Ranks.current()
    _require_even(config, rows, ranks.size)
    shards.require(rows)
    output = Path(storage.display(job.output))
    own = _identity(job, shards, recipe, config)
    found = checkpoint.latest(output / "checkpoints", own)
    finished = _finished(output, own, asked, shards, ranks)
    if finished:
        return finished

    prepare(job.seed)
    model = MoEForCausalLM(config).train()
    _rest(model, shards.marks)
    if ranks.size > 1:
        from headrace.training.moe import parallel

        parallel.divide(model, ranks)
    rates = OptimizerSettings(
        muon_lr=recipe.muon_lr, adamw_lr=recipe.adamw_lr, embedding_lr=recipe.embedding_lr
    )
    optimizer = build_optimizer(model, rates)
    answer: dict[str, Any] = {
        "export": str(output / "export"),
        "steps": steps,
        "tokens": steps * rows * shards.length,
        "total_parameters": total,
        "active_parameters": active,
        "identity": own,
        "heldout_rows": asked.heldout_rows,
        "resumed_from": found.step if found else 0,
    }
    answer |= _train(job, model, optimizer, shards, rows, steps, own, found, ranks)
    if ranks.size > 1:
        parallel.unite(model, ranks)
    if not ranks.first:
        return answer
    shown = {
        k: v
        for k, v in answer.items()
        if k in ("loss", "heldout_loss", "heldout_bits_per_byte", "tokens")
    }
    card = Card(
        stage="pretrain",
        lineage={"release_id": shards.manifest.get("release_id"), **job.lineage, "seed": job.seed},
        metrics=shown,
        settings=deciding_weights(asked),
    )
    save(model, output / "export", Path(shards.tokenizer), card)
    storage.write_json(output / "result.json", answer)
    return answer


def _require_even(config: MoEConfig, rows: int, processes: int) -> None:
    if rows % processes:
        raise UsageError(
            f"{rows} rows a batch can't be divided evenly among {processes} processes",
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
) -> dict[str, Any] | None:
    """The answer of a run that is done, as a further call gives it.

    Where that call asks for another number of held-out rows, only those are measured again.

    Raises:
        UsageError: the run had other data or settings.
    """
    path = output / "result.json"
    if not path.exists() or not (output / "export").exists():
        return None
    said: dict[str, Any] = storage.read_json(path)
    if said.get("identity") != own:
        # Its checkpoints say the same, but they may have been removed since it ended.
        raise UsageError(
            f"{output} holds a run with other data or settings",
            "use another output folder, or remove this one",
        )
    if said.get("heldout_rows") != settings.heldout_rows:
        rows, apart = settings.heldout_rows, settings.separate_documents
        said["heldout_rows"] = rows
        said |= heldout_figures(load(output / "export"), shards, rows, apart)
        if ranks.first:
            storage.write_json(path, said)
    return said | {"resumed_from": said["steps"]}


def _rest(model: MoEForCausalLM, ids: list[int]) -> None:
    """Keep the embedding's rows of tokens that don't occur as they began.

    As outputs they are only ever pushed away, all the same way, and Adam makes full steps of the
    smallest push: after 785 steps the chat marks were three times as long as other tokens and
    alike to within 0.0002 in cosine. From there SFT cost the language model twice as much
    (docs/alignment.md).
    """
    table, rows = model.model.embed_tokens.weight, torch.tensor(ids, dtype=torch.int64)
    table.register_hook(lambda gradient: gradient.index_fill(0, rows, 0.0))


def _train(
    job: PretrainJob,
    model: MoEForCausalLM,
    optimizer: MuonAdamW,
    shards: Shards,
    rows: int,
    steps: int,
    identity: str,
    found: Checkpoint | None,
    ranks: Ranks,
) -> dict[str, Any]:
    """The loop. Returns the last step's figures and the speed, on the first rank."""
    asked, output = job.settings, Path(storage.display(job.output))
    done = 0
    if found:
        found.restore(model, optimizer, ranks)
        done = found.step
    output.mkdir(parents=True, exist_ok=True)
    share = rows // ranks.size
    with (
        Progress("pretrain", steps, "steps") as progress,
        Metrics(output / "metrics.jsonl", done) if ranks.first else nullcontext() as metrics,
        Engine(model, optimizer, asked.clip, ranks) as engine,
    ):
        progress.done = done
        speed = Speed(progress, rows * shards.length)
        every = asked.heldout_every or max(1, math.ceil(steps / 8))
        callbacks: list[Callback] = [
            Balance(model, asked.balance_rate, ranks),
            # All ranks measure all rows: that is little work, and the experts are needed anyway.
            Heldout(model, shards, every, asked.heldout_rows, asked.separate_documents),
            speed,
            *([metrics] if metrics else []),
            Checkpoints(
                output / "checkpoints",
                model,
                optimizer,
                metrics,
                asked.checkpoint,
                identity,
                ranks,
            ),
        ]
        for number in range(done + 1, steps + 1):
            rate = set_rate(optimizer, number - 1, steps)
            start = (number - 1) * rows + ranks.rank * share
            seen = batch(shards.train, start, share, asked.separate_documents)
            loss = next_token_loss(model(seen.ids, mask=seen.mask), seen.ids)
            norm = engine.step(loss)
            record = {
                "step": number,
                "loss": ranks.mean(loss.item()),
                "lr": rate,
                "grad_norm": norm,
            }
            step = Step(number, number == steps, record)
            for callback in callbacks:
                callback.after(step)
    last = _last(output / "metrics.jsonl") if ranks.first else {}
    return {"tokens_per_second": round(speed.tokens_per_second, 1), **last}


def _last(path: Path) -> dict[str, float]:
    """Loss and held-out figures of the last step, from the metrics file."""
    from headrace.training.callbacks.metrics import read

    last = read(path)[-1]
    return {k: last[k] for k in ("loss", "heldout_loss", "heldout_bits_per_byte") if k in last}


if __name__ == "__main__":
    job_main(PretrainJob, pretrain)
