"""Verbs that make a model, ask it or judge it."""

from __future__ import annotations

from dataclasses import asdict

import click

from headrace.flows.cli_runtime import (
    MODEL,
    PLACE,
    SUITE,
    TEXT,
    Answer,
    Call,
    not_built,
    start_prefect,
    verb,
)
from headrace.flows.verbs.places import there
from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.training.rlhf.stages import STAGES

verbs = click.Group()


@verb(verbs, "pretrain", "headrace pretrain --data tokens --preset local --output model")
@click.option(
    "--data", required=True, type=PLACE, metavar="URI", help="Folder that tokenize wrote."
)
@click.option("--preset", metavar="NAME", help="Shape and recipe (local).")
@click.option(
    "--output", required=True, type=PLACE, metavar="URI", help="Run folder; the same one resumes."
)
@click.option("--resume/--no-resume", default=True, help="Resume from the last checkpoint.")
def pretrain(call: Call, data: str, preset: str | None, output: str, resume: bool) -> Answer:
    """MoE pretraining through DeepSpeed."""
    from headrace.tasks.configuration.settings import PretrainConfig

    settings = call.settings(PretrainConfig, **({"preset": preset} if preset else {}))
    place = storage.writable_folder(output)
    from headrace.infra.artifacts import TokenSet
    from headrace.tasks.input_checks import check_fresh

    TokenSet.require(storage.display(data))
    if not resume and (folder := storage.local_path(place)):
        check_fresh(folder)
    start_prefect()
    from headrace.flows.pretrain import pretrain as flow
    from headrace.flows.summaries.chain import model_line
    from headrace.tasks.answers import model_answer
    from headrace.tasks.models.training import pretrain_job

    made = flow(pretrain_job(settings, storage.display(data), place, resume))
    return Answer(model_answer(made), model_line(made))


@verb(verbs, "plan", "headrace plan --preset moe-175b --gpus 512 --gpu h100", reads=True)
@click.option("--preset", required=True, metavar="NAME")
@click.option("--gpus", type=click.IntRange(1), required=True, metavar="N")
@click.option("--gpu", required=True, metavar="NAME", help="h100, h200, a100 ...")
def plan(call: Call, preset: str, gpus: int, gpu: str) -> Answer:
    """Memory per device, speed and cost of a preset before you rent anything."""
    from headrace.tasks.configuration.settings import PretrainConfig

    settings = call.settings(PretrainConfig, preset=preset)
    from headrace.flows.summaries.chain import plan_screen
    from headrace.tasks.models.training import plan_preset

    need = plan_preset(settings, gpus, gpu)
    return Answer(asdict(need), plan_screen(need, settings.preset, f"{gpus} {gpu}"))


@verb(verbs, "align", "headrace align sft --model model/export --data pairs.jsonl --output sft")
@click.argument("stage", type=click.Choice([*STAGES, "dpo", "grpo"]))
@click.option("--model", type=MODEL, metavar="URI|ALIAS", help="Export to start from.")
@click.option("--data", type=PLACE, metavar="URI", help="JSONL or Parquet.")
@click.option("--output", type=PLACE, metavar="URI", help="Run folder; the same one resumes.")
@click.option("--reward", type=PLACE, metavar="URI", help="Export of the reward stage (ppo, grpo).")
def align(
    call: Call,
    stage: str,
    model: str | None,
    data: str | None,
    output: str | None,
    reward: str | None,
) -> Answer:
    """One stage of alignment: sft, reward or ppo.

    Data: sft `prompt, response`; reward `prompt, chosen, rejected`; ppo `prompt`.
    """
    if stage in ("dpo", "grpo"):
        return not_built(f"align {stage}", f"stages there are: {', '.join(STAGES)}")
    for name, value in (("--model", model), ("--data", data), ("--output", output)):
        if not value:
            raise UsageError(f"align {stage} lacks {name}", f"give {name} URI")
    if STAGES[stage].needs_reward and not reward:
        raise UsageError(
            f"align {stage} lacks --reward", "give the export of `headrace align reward`"
        )
    from headrace.tasks.configuration.settings import AlignConfig

    settings, place = call.settings(AlignConfig), storage.writable_folder(str(output))
    there(str(data))
    from headrace.tasks.input_checks import check_model

    for export in filter(None, (model, reward)):
        check_model(export, settings)
    start_prefect()
    from headrace.flows.align import align_stage
    from headrace.flows.summaries.chain import model_line
    from headrace.tasks.answers import model_answer
    from headrace.tasks.models.training import align_job

    job = align_job(stage, settings, str(model), str(data), place, reward)
    made = align_stage(stage, job)
    return Answer(model_answer(made), model_line(made))


@verb(verbs, "generate", 'headrace generate --model champion --prompt "The court"')
@click.option("--model", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--prompt", required=True, type=TEXT, metavar="TEXT")
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 5), default=0.8, show_default=True)
def generate(call: Call, model: str, prompt: str, max_tokens: int, temperature: float) -> Answer:
    """Answer a prompt by an aligned model, or continue it by a pretrained one."""
    from headrace.infra.configuration.settings import Shared

    shared = call.settings(Shared)
    from headrace.tasks.input_checks import check_model

    check_model(model, shared)
    from headrace.tasks.models.training import generate_text

    text = generate_text(model, prompt, max_tokens, temperature, shared)
    return Answer({"model": model, "prompt": prompt, "text": text}, text)


@verb(verbs, "evaluate", "headrace evaluate --model champion --suite heldout.jsonl")
@click.option("--model", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--suite", type=SUITE, metavar="NAME|FILE",
              help="JSONL with `text`, and `lang` and `domain` for figures by language and domain; "
              "default: held-out records of its corpus.")  # fmt: skip
def evaluate(call: Call, model: str, suite: str | None) -> Answer:
    """Metrics with confidence intervals, by domain and language."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.tasks.input_checks import check_model, check_suite

    check_suite(suite)
    check_model(model, settings)
    start_prefect()
    from headrace.flows.evaluate import evaluate as flow
    from headrace.flows.summaries.chain import metrics_screen
    from headrace.tasks.answers import evaluation_answer

    evaluation = flow(model, suite, settings)
    return Answer(evaluation_answer(evaluation), metrics_screen(evaluation))


@verb(verbs, "gate", "headrace gate --champion champion --challenger runs/x/export --policy p.yaml")
@click.option("--champion", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--challenger", required=True, type=MODEL, metavar="URI|ALIAS")
@click.option("--policy", type=PLACE, metavar="FILE", help="Default: the policy `default`.")
def gate(call: Call, champion: str, challenger: str, policy: str | None) -> Answer:
    """Hold a challenger against a champion; nothing is moved."""
    from headrace.tasks.configuration.settings import GateConfig

    settings = call.settings(GateConfig, **({"policy": policy} if policy else {}))
    from headrace.tasks.input_checks import check_model, check_policy

    check_policy(settings.policy)
    for export in (challenger, champion):
        check_model(export, settings)
    start_prefect()
    from headrace.flows.gate import gate as flow
    from headrace.flows.summaries.chain import gate_screen
    from headrace.tasks.answers import gate_answer
    from headrace.tasks.gate.contests import Exports

    gated = flow(Exports(champion, challenger, settings), settings)
    return Answer(gate_answer(gated), gate_screen(gated.decision), 0 if gated.promoted else 5)
