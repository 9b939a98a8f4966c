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
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from headrace.infra import lineage, releases, storage
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import JobResult, job_main
from headrace.infra.tracking import step_count
from headrace.training import engine
from headrace.training.callbacks.base import Callback
from headrace.training.chat_template import Chat
from headrace.training.data.columns import strings
from headrace.training.identity import deciding_weights
from headrace.training.incremental import answer_replay, fisher, old_text
from headrace.training.incremental.ewc_objective import EWC, Consolidation
from headrace.training.incremental.round_data import prepare
from headrace.training.incremental.settings import EWCJob
from headrace.training.incremental.state_selection import STATES, EarlyStop, copy_weights
from headrace.training.local import local_folder
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import build_optimizer
from headrace.training.results import (
    Course,
    EWCResult,
    RoundDocuments,
    RoundFiles,
    RoundMetrics,
    SideFiles,
    Sides,
)
from headrace.training.scoring import evaluate, nll, order_gain
from headrace.training.trainer import Trainer

EVALUATION = "evaluation"
"""The folder of values per document in a run folder."""
SIDES = {"plain": "after plain fine-tuning (for comparison)"}
"""Columns of the figures as the model card calls them."""


class Training(Course):
    """The course of the training, and where the call began that finished it."""

    resumed_from: int


class RoundRecord(JobResult):
    """result.json: a finished round. It holds no paths, so that a moved folder stays right."""

    identity: str
    judged_on: str
    """Which held-out documents judge: name of the folder of their figures."""
    plain: bool
    """Whether plain fine-tuning was trained beside it."""
    trained: Training
    steps: int
    tokens: int
    metrics: RoundMetrics
    documents: RoundDocuments
    measures: dict[str, float]
    seconds: float

    def result(self, folder: Path, resumed_from: int) -> EWCResult:
        """Return the result of the job in `folder`."""
        scores = folder / EVALUATION / self.judged_on
        return EWCResult(
            export=str(folder / "export"),
            evaluation=RoundFiles(
                new=_files(scores, "new", self.metrics.new),
                old=_files(scores, "old", self.metrics.old),
            ),
            stage="ewc",
            steps=self.steps,
            tokens=self.tokens,
            metrics=self.metrics,
            documents=self.documents,
            measures=self.measures,
            loss=self.trained.loss,
            resumed_from=resumed_from,
            course=Course.model_validate(self.trained.model_dump(exclude={"resumed_from"})),
            seconds=self.seconds,
        )


def _files(folder: Path, kind: str, sides: Sides) -> SideFiles:
    names = {when: str(_scores(folder, kind, when)) for when in sides.as_json()}
    return SideFiles.model_validate(names)


def _scores(folder: Path, kind: str, when: str) -> Path:
    """Return the file of the values per document."""
    return folder / f"{kind}_{when}.parquet"


def identity(job: EWCJob) -> str:
    """Return what decides the weights: champion, releases, prompts, settings and seed.

    Raises:
        InputError: the champion or a release isn't there.
    """
    ids = {
        kind: [releases.manifest(r)["release_id"] for r in folders]
        for kind, folders in (("new", job.new), ("old", job.old))
    }
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


def ewc(job: EWCJob) -> EWCResult:
    """Learn the window, or resume, or return the result of a round that is finished.

    Raises:
        UsageError: the folder holds another round.
        InputError: the champion or a release can't be read.
        ValidationError: there is too little text.
    """
    began = time.monotonic()
    folder, own = local_folder(job.output, "the output"), identity(job)
    judging = job.settings.material.heldout
    judged_on = f"{judging.documents}x{judging.max_bytes}"
    done = folder / "result.json"
    known = RoundRecord.model_validate(storage.read_json(done)) if done.exists() else None
    if known and known.identity != own:
        raise UsageError(
            f"{folder} holds a round with other data or settings", "give another output folder"
        )
    if known and known.judged_on == judged_on and (known.plain or not job.compare_plain):
        return known.result(folder, known.steps)
    engine.prepare(job.seed)
    round_ = _Round(job, own, folder, folder / EVALUATION / judged_on)
    record = round_.run(known, judged_on, began)
    storage.write_json(done, record.as_json())
    shutil.rmtree(folder / STATES, ignore_errors=True)
    return record.result(folder, record.steps if known else record.trained.resumed_from)


class _Round:
    """A round at work: the champion, its tokenizer and the material."""

    def __init__(self, job: EWCJob, identity: str, folder: Path, scores: Path) -> None:
        self.job, self.identity, self.folder, self.scores = job, identity, folder, scores
        self.model, self.tokenizer = export.load(job.model), export.load_tokenizer(job.model)
        length, settings = nll.context_of(self.model), job.settings.material
        self.chat = export.chat_format(job.model, self.tokenizer)
        answers: list[list[int]] = []
        if job.prompts:
            # Exports from before they had a template get it here.
            self.chat = self.chat or Chat.of(self.tokenizer, length).format
            answers = answer_replay.sample(
                self.model,
                self.tokenizer,
                answer_replay.read_prompts(job.prompts),
                settings.prompts,
                job.seed,
                folder / "dialogues.json",
            )
        self.material = prepare(
            job.new, job.old, self.tokenizer, length, settings, job.seed, answers
        )

    def run(self, known: RoundRecord | None, judged_on: str, began: float) -> RoundRecord:
        """Do what is left: train, evaluate, compare with plain fine-tuning, export."""
        job, material = self.job, self.material
        figures = {"before": self._evaluate("before", self.model)}
        if known:  # only to be judged again
            model, training = export.load(self.folder / "export"), known.trained
        else:
            model, training = self.model, self._train()
        figures["after"] = self._evaluate("after", model)
        texts = strings(material.heldout["new"], "text")
        gain = order_gain.order_gain(model, self.tokenizer, texts, job.seed)
        if job.compare_plain:
            figures["plain"] = self._evaluate("plain", self._plain(training.steps))
        metrics = RoundMetrics(
            new=Sides.model_validate({when: f["new"] for when, f in figures.items()}),
            old=Sides.model_validate({when: f["old"] for when, f in figures.items()}),
        )
        self._export(model, metrics)
        seconds = known.seconds if known else 0.0
        return RoundRecord(
            identity=self.identity,
            judged_on=judged_on,
            plain=job.compare_plain,
            trained=training,
            steps=training.steps,
            tokens=training.steps * int(material.batches[0].size),
            metrics=metrics,
            documents=RoundDocuments(
                **{kind: table.num_rows for kind, table in material.heldout.items()}
            ),
            measures={"new.order_gain": gain},
            seconds=seconds + time.monotonic() - began,
        )

    def _evaluate(self, when: str, model: MoEForCausalLM) -> dict[str, float]:
        """Bits per byte of new and old held-out text; the values per document are kept."""
        out = {}
        for kind, documents in self.material.heldout.items():
            path = _scores(self.scores, kind, when)
            if path.exists():
                scored = pq.read_table(path)
            else:
                scored = evaluate.score(model, self.tokenizer, documents)
                sink = pa.BufferOutputStream()
                pq.write_table(scored, sink, compression="zstd")
                storage.write_bytes(path, sink.getvalue().to_pybytes())
            out[kind] = evaluate.bits_per_byte(scored)
        return out

    def _train(self) -> Training:
        """Teach the model the window; it then holds the state that is kept."""
        settings, material, model = self.job.settings, self.material, self.model
        anchor = copy_weights(model)
        hold = Consolidation(
            settings.strength,
            anchor,
            self._fisher(),
            settings.answers,
            copy.deepcopy(model).requires_grad_(False),
        )
        stop = EarlyStop(
            model, self.tokenizer, anchor, material.validation, self.folder, settings.course
        )
        objective = EWC(
            model,
            self.tokenizer.eos_token_id,
            material.batches,
            material.old_rows,
            material.answer_rows,
            hold,
        )
        trained = self._trainer(objective, self.folder, "learning the window", [stop]).train()
        kept = stop.restore_best()
        return Training(
            steps=trained.steps,
            kept=kept.step,
            share=kept.share,
            loss=trained.last.get("loss", math.nan),
            checks=stop.checks,
            resumed_from=trained.resumed_from,
        )

    def _plain(self, steps: int) -> MoEForCausalLM:
        """Return the champion after plain fine-tuning on the same new rows in as many steps."""
        model = export.load(self.job.model)
        batches = self.material.batches[:steps, : self.material.new_rows]
        objective = EWC(model, self.tokenizer.eos_token_id, batches)
        self._trainer(objective, self.folder / "plain", "plain fine-tuning beside it").train()
        return model

    def _trainer(
        self, objective: EWC, folder: Path, title: str, callbacks: Sequence[Callback] = ()
    ) -> Trainer:
        course, steps = self.job.settings.course, len(objective.batches)
        step_count.write(folder, steps)
        return Trainer(
            objective,
            build_optimizer(objective.model, course.optimizer),
            steps,
            folder,
            self.identity,
            title=title,
            clip=course.clip,
            saving=course.checkpoint,
            callbacks=callbacks,
        )

    def _fisher(self) -> dict[str, Tensor]:
        """Return the Fisher diagonal of old text, from the file where an earlier call left it."""
        path, eos = self.folder / "fisher.safetensors", self.tokenizer.eos_token_id

        def logits(ids: Tensor) -> Tensor:
            out: Tensor = self.model(ids, mask=old_text.separate(ids, eos))
            return out

        if not path.exists():
            found = fisher.diagonal(self.model, self.material.fisher, self.job.seed, logits)
            export.save_tensors(found, path)
        return export.read_tensors(path)

    def _export(self, model: MoEForCausalLM, metrics: RoundMetrics) -> None:
        figures = {
            f"{kind} text, bits per byte, {SIDES.get(when, when)}": value
            for kind, sides in (("new", metrics.new), ("old", metrics.old))
            for when, value in sides.as_json().items()
        }
        card = export.Card(
            stage="ewc",
            lineage=self.job.lineage,
            metrics=figures,
            settings=deciding_weights(self.job.settings),
        )
        export.save(model, self.folder / "export", self.job.model, card, self.chat)


if __name__ == "__main__":
    job_main(EWCJob, ewc)
