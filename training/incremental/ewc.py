"""Learning a window without forgetting: elastic weight consolidation and replay, as one job.

    python -m headrace.training.incremental.ewc job.json

From the champion's export: the Fisher information of old text, then training on the window's
documents mixed with old ones, with the penalty that holds important weights (Kirkpatrick et al.
2017). Differs from the paper: old text is replayed as well, F is of a language model's tokens, and
states are chosen on validation text. Next to it, plain fine-tuning on the same new rows in the same
number of steps, for the report.

The output folder: metrics.jsonl, checkpoints/, fisher.safetensors, evaluation/ (values per
document, to be paired by the gate), plain/, export/, and result.json last. The same folder again
resumes; a finished one answers at once. Asked to be judged on other documents, or for plain
fine-tuning that was left out, it does that alone.
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
from headrace.infra.subprocess_jobs import job_main
from headrace.training import engine
from headrace.training.identity import deciding_weights
from headrace.training.incremental import answer_replay, fisher, old_text
from headrace.training.incremental.ewc_trainer import Trainer
from headrace.training.incremental.penalty import penalty
from headrace.training.incremental.round_data import Material, prepare
from headrace.training.incremental.settings import EWCJob
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf.chat_template import Chat
from headrace.training.scoring import evaluate, nll, order_gain

SIDES = {"plain": "after plain fine-tuning (for comparison)"}
"""Columns of the figures as the model card calls them."""


def identity(job: EWCJob) -> str:
    """Stands for what decides the weights: champion, releases, prompts, settings and seed.

    Raises:
        InputError: the champion or a release isn't there.
    """
    ids = {k: [releases.manifest(r)["release_id"] for r in getattr(job, k)] for k in ("new", "old")}
    weights = Path(job.model) / export.WEIGHTS
    if not weights.is_file():
        export.load_config(job.model)  # raises with what to do
    return lineage.digest(
        {
            "weights": lineage.sha256(weights),
            "releases": ids,
            "settings": deciding_weights(job.settings),
            "seed": job.seed,
            "prompts": lineage.sha256(job.prompts) if job.prompts else None,
        }
    )


def _judged_on(job: EWCJob) -> str:
    """Which held-out documents judge: name of the folder of their figures."""
    judging = job.settings.material.heldout
    return f"{judging.documents}x{judging.max_bytes}"


def _evaluate(
    name: str, model: MoEForCausalLM, tokenizer: Any, material: Material, folder: Path
) -> dict[str, float]:
    """Bits per byte of new and old held-out text; the values per document go to `folder`."""
    out = {}
    for kind, documents in material.heldout.items():
        path = folder / f"{kind}_{name}.parquet"
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


def ewc(job: EWCJob) -> dict[str, Any]:
    """The answer of a round; the run folder holds everything else.

    Keys: `export`, `stage` (ewc), `steps`, `tokens`, `loss`, `resumed_from`, `metrics` {`new`,
    `old`: {`before`, `after`, `plain`}} in bits per byte of held-out text, `documents` {`new`,
    `old`: n}, `measures` {`new.order_gain`: `scoring.order` of the new text under the new model},
    `evaluation` {`new`, `old`: {`before`, `after`, `plain`: Parquet file of values per document}},
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
    folder, own, judged_on = path, identity(job), _judged_on(job)
    done = folder / "result.json"
    known: dict[str, Any] = storage.read_json(done) if done.exists() else {}
    if known.get("identity", own) != own:
        raise UsageError(
            f"{folder} holds a round with other data or settings", "give another output folder"
        )
    if known and known["judged_on"] == judged_on and (known["plain"] or not job.compare_plain):
        return _located(known, known["steps"], folder)
    engine.prepare(job.seed)
    settings, scores = job.settings, folder / "evaluation" / judged_on
    model, tokenizer = export.load(job.model), export.load_tokenizer(job.model)
    said: list[list[int]] = []
    chat = export.chat_format(job.model, tokenizer)
    if job.prompts:
        # Exports from before they had a template get it here.
        chat = chat or Chat.of(tokenizer, nll.context_of(model)).format
        asked, count = answer_replay.read_prompts(job.prompts), settings.material.prompts
        cache = folder / "dialogues.json"
        said = answer_replay.sample(model, tokenizer, asked, count, job.seed, cache)
    length = nll.context_of(model)
    material = prepare(job.new, job.old, tokenizer, length, settings.material, job.seed, said)
    figures = {"before": _evaluate("before", model, tokenizer, material, scores)}
    trained = known.get("trained")
    if trained:  # only to be judged again
        model = export.load(folder / "export")
    else:
        trained = _train(job, own, folder, model, tokenizer, material)
    figures["after"] = _evaluate("after", model, tokenizer, material, scores)
    gain = order_gain.order_gain(
        model, tokenizer, material.heldout["new"]["text"].to_pylist(), job.seed
    )
    if job.compare_plain:
        plain = export.load(job.model)
        Trainer(plain, tokenizer, folder / "plain", own, settings.course).train(
            material.batches[: trained["steps"], : material.fresh], "plain fine-tuning beside it"
        )
        figures["plain"] = _evaluate("plain", plain, tokenizer, material, scores)
    metrics = {k: {s: f[k] for s, f in figures.items()} for k in ("new", "old")}
    card = export.Card(
        stage="ewc",
        lineage=job.lineage,
        metrics={
            f"{k} text, bits per byte, {SIDES.get(s, s)}": v
            for k, m in metrics.items()
            for s, v in m.items()
        },
        settings=deciding_weights(settings),
    )
    export.save(model, folder / "export", job.model, card, chat)
    answer = {
        "identity": own,
        "judged_on": judged_on,
        "plain": job.compare_plain,
        "trained": trained,
        "steps": trained["steps"],
        "tokens": trained["steps"] * int(material.batches[0].size),
        "metrics": metrics,
        "documents": {k: t.num_rows for k, t in material.heldout.items()},
        "measures": {"new.order_gain": gain},
        "seconds": known.get("seconds", 0.0) + time.monotonic() - began,
    }
    storage.write_json(done, answer)
    shutil.rmtree(folder / "states", ignore_errors=True)
    return _located(answer, trained["steps" if known else "resumed_from"], folder)


def _train(
    job: EWCJob,
    own: str,
    folder: Path,
    model: MoEForCausalLM,
    tokenizer: Any,
    material: Material,
) -> dict[str, Any]:
    """Teach the model the window; returns its course as JSON. The model holds the kept state."""
    settings = job.settings
    trainer = Trainer(model, tokenizer, folder, own, settings.course)
    important = _fisher(trainer, material, folder / "fisher.safetensors", job.seed)
    champion = copy.deepcopy(model).requires_grad_(False)
    eos, spoken = tokenizer.eos_token_id, material.spoken

    def held(ids: Tensor, logits: Tensor) -> Tensor:
        cost = settings.strength * penalty(model, trainer.anchor, important)
        if spoken:
            ids = ids[-spoken:]
            taught = champion(ids, mask=old_text.separate(ids, eos))
            cost = cost + settings.answers * answer_replay.divergence(logits[-spoken:], taught)
        return cost

    old = material.batches.shape[1] - material.fresh - spoken
    course = trainer.train(
        material.batches, "learning the window", held, material.validation, spoken, old
    )
    return {
        "steps": course.steps,
        "kept": course.kept,
        "share": course.share,
        "loss": course.loss,
        "checks": [vars(c) for c in course.checks],
        "resumed_from": course.resumed_from,
    }


def _located(answer: Mapping[str, Any], resumed_from: int, folder: Path) -> dict[str, Any]:
    """The answer of the job from what result.json holds.

    Paths are left out there, so that a moved folder is right.
    """
    scored = {
        kind: {
            when: str(folder / "evaluation" / answer["judged_on"] / f"{kind}_{when}.parquet")
            for when in answer["metrics"][kind]
        }
        for kind in ("new", "old")
    }
    trained = dict(answer["trained"])
    del trained["resumed_from"]
    same = {k: answer[k] for k in ("steps", "tokens", "metrics", "documents", "measures")}
    return {
        "export": str(folder / "export"),
        "evaluation": scored,
        "stage": "ewc",
        **same,
        "loss": trained["loss"],
        "resumed_from": resumed_from,
        "course": trained,
        "seconds": answer["seconds"],
    }


if __name__ == "__main__":
    job_main(EWCJob, ewc)
