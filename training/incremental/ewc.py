"""Learning a window without forgetting: elastic weight consolidation and replay, as one job.

    python -m headrace.training.incremental.ewc job.json

From the champion's export: the Fisher information of old text, then training on the window's
documents mixed with old ones, with the penalty that holds important weights (Kirkpatrick et al.
2017). Differs from the paper: old text is replayed as well, F is of a language model's tokens, and
states are chosen on validation text. Next to it, plain fine-tuning on the same new rows in the same
number of steps, for the report.

The output folder: metrics.jsonl, checkpoints/, fisher.safetensors, evaluation/*.parquet (values a
document, to be paired by the gate), plain/, export/, and result.json last. The same folder again
resumes; a finished one answers at once.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from headrace.infra import lineage, releases, storage
from headrace.infra.errors import UsageError
from headrace.infra.process import job_main
from headrace.training import engine
from headrace.training.incremental import dialogues, fisher, replay
from headrace.training.incremental.course import Course, Trainer
from headrace.training.incremental.material import Material, prepare
from headrace.training.incremental.penalty import penalty
from headrace.training.incremental.settings import EWCJob
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.chat import Chat
from headrace.training.scoring import evaluate, nll, order

SIDES = {"plain": "after plain fine-tuning (for comparison)"}
"""Columns of the figures as the model card calls them."""


def _identity(job: EWCJob) -> str:
    """What the result depends on: weights, releases, settings and seed, wherever they lie."""
    ids = {k: [releases.manifest(r)["release_id"] for r in getattr(job, k)] for k in ("new", "old")}
    weights = Path(job.model) / export.WEIGHTS
    if not weights.is_file():
        export.load_config(job.model)  # raises with what to do
    return lineage.digest(
        {
            "weights": lineage.sha256(weights),
            "releases": ids,
            "settings": job.settings.model_dump(mode="json"),
            "seed": job.seed,
            "prompts": lineage.sha256(job.prompts) if job.prompts else None,
            "compare_plain": job.compare_plain,
        }
    )


def _evaluate(
    name: str, model: MoEForCausalLM, tokenizer: Any, material: Material, folder: Path
) -> dict[str, float]:
    """Bits a byte of new and old held-out text; the values a document go to evaluation/."""
    out = {}
    for kind, documents in material.heldout.items():
        path = folder / "evaluation" / f"{kind}_{name}.parquet"
        if path.exists():
            scored = pq.read_table(path)
        else:
            scored = evaluate.score(model, tokenizer, documents)
            sink = pa.BufferOutputStream()
            pq.write_table(scored, sink, compression="zstd")
            storage.write_bytes(path, sink.getvalue().to_pybytes())
        out[kind] = evaluate.bits_per_byte(scored)
    return out


def _fisher(trainer: Trainer, material: Material, path: Path, seed: int) -> dict[str, Tensor]:
    """The Fisher diagonal of old text, from the file where an earlier call left it."""
    if not path.exists():
        found = fisher.diagonal(trainer.model, material.fisher, seed, trainer.logits)
        export.save_tensors(found, path)
    return export.read_tensors(path)


def _told(course: Course) -> dict[str, Any]:
    """A course as it stands in result.json."""
    return {
        "steps": course.steps,
        "kept": course.kept,
        "share": course.share,
        "loss": course.loss,
        "checks": [vars(c) for c in course.checks],
    }


def ewc(job: EWCJob) -> dict[str, Any]:
    """The answer of a round; the run folder holds everything else.

    Keys: `export`, `stage` (ewc), `steps`, `tokens`, `loss`, `resumed_from`, `metrics` {`new`,
    `old`: {`before`, `after`, `plain`}} in bits a byte of held-out text, `documents` {`new`, `old`:
    n}, `measures` {`new.order_gain`: `scoring.order` of the new text under the new model},
    `evaluation` {`new`, `old`: {`before`, `after`, `plain`: Parquet file of values a document}},
    `course`, `seconds`.

    Raises:
        UsageError: the folder holds another round.
        InputError: the champion or a release can't be read.
        ValidationError: there is too little text.
    """
    began = time.monotonic()
    path = storage.local_path(job.output)
    if path is None:
        raise UsageError(f"{job.output}: a model is trained into a local folder", "give a path")
    folder, identity = path, _identity(job)
    done = folder / "result.json"
    if done.exists():
        answer: dict[str, Any] = storage.read_json(done)
        if answer.pop("identity") != identity:
            raise UsageError(
                f"{folder} holds a round with other data or settings", "give another output folder"
            )
        return _located(answer | {"resumed_from": answer["steps"]}, folder)
    engine.prepare(job.seed)
    settings = job.settings
    model, tokenizer = export.load(job.model), export.load_tokenizer(job.model)
    said: list[list[int]] = []
    chat = export.chat_format(job.model)
    if job.prompts:
        # An aligned champion of before exports had a template gets it here.
        chat = chat or Chat.of(tokenizer, nll.context_of(model)).format
        asked, count = dialogues.read_prompts(job.prompts), settings.material.prompts
        cache = folder / "dialogues.json"
        said = dialogues.sample(model, tokenizer, asked, count, job.seed, cache)
    length = nll.context_of(model)
    material = prepare(job.new, job.old, tokenizer, length, settings.material, job.seed, said)
    figures = {"before": _evaluate("before", model, tokenizer, material, folder)}
    trainer = Trainer(model, tokenizer, folder, identity, settings.course)
    important = _fisher(trainer, material, folder / "fisher.safetensors", job.seed)

    champion = copy.deepcopy(model).requires_grad_(False)
    eos, spoken = tokenizer.eos_token_id, material.spoken

    def held(ids: Tensor, logits: Tensor) -> Tensor:
        cost = settings.strength * penalty(model, trainer.anchor, important)
        if spoken:
            ids = ids[-spoken:]
            taught = champion(ids, mask=replay.separate(ids, eos))
            cost = cost + settings.answers * dialogues.divergence(logits[-spoken:], taught)
        return cost

    course = trainer.train(
        material.batches, "learning the window", held, material.validation, spoken
    )
    figures["after"] = _evaluate("after", model, tokenizer, material, folder)
    gain = order.order_gain(model, tokenizer, material.heldout["new"]["text"].to_pylist(), job.seed)
    if job.compare_plain:
        plain = export.load(job.model)
        Trainer(plain, tokenizer, folder / "plain", identity, settings.course).train(
            material.batches[: course.steps, : material.fresh], "plain fine-tuning beside it"
        )
        figures["plain"] = _evaluate("plain", plain, tokenizer, material, folder)
    metrics = {k: {s: f[k] for s, f in figures.items()} for k in ("new", "old")}
    card = export.Card(
        stage="ewc",
        lineage=job.lineage,
        metrics={
            f"{k} text, bits a byte, {SIDES.get(s, s)}": v
            for k, m in metrics.items()
            for s, v in m.items()
        },
        settings=settings.model_dump(mode="json"),
    )
    export.save(model, folder / "export", job.model, card, chat)
    answer = {
        "stage": "ewc",
        "steps": course.steps,
        "tokens": course.steps * int(material.batches[0].size),
        "loss": course.loss,
        "resumed_from": course.resumed_from,
        "metrics": metrics,
        "documents": {k: t.num_rows for k, t in material.heldout.items()},
        "measures": {"new.order_gain": gain},
        "course": _told(course),
        "seconds": time.monotonic() - began,
    }
    storage.write_json(done, answer | {"identity": identity})
    shutil.rmtree(folder / "states", ignore_errors=True)
    return _located(answer, folder)


def _located(answer: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The answer with its paths, which result.json leaves out so that a moved folder is right."""
    scored = {
        kind: {
            when: str(folder / "evaluation" / f"{kind}_{when}.parquet")
            for when in answer["metrics"][kind]
        }
        for kind in ("new", "old")
    }
    return {"export": str(folder / "export"), "evaluation": scored, **answer}


if __name__ == "__main__":
    job_main(EWCJob, ewc)
