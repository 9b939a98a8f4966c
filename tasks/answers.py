"""What verbs answer under --json, of typed values."""

from __future__ import annotations

from pydantic import JsonValue

from headrace.infra.artifacts import Evaluation, Model, Release, TokenSet
from headrace.tasks.gate.promotion import Gated, decision_answer
from headrace.tasks.task import relative

Answer = dict[str, JsonValue]
"""One JSON object."""


def release_answer(release: Release, seconds: float) -> Answer:
    """Answer of `headrace curate`, whose work took some seconds."""
    notes = ("unreadable_files", "noted_files", "left_out")
    return {
        "release": release.folder,
        "release_id": release.id,
        "read": release.totals.read,
        "kept": release.totals.kept,
        "rejected": dict(release.totals.rejected),
        "unreadable": release.totals.unreadable,
        "repaired": release.totals.repaired,
        "input_bytes": release.input_bytes,
        **{name: getattr(release, name).model_dump(mode="json") for name in notes},
        "seconds": round(seconds, 1),
    }


def tokens_answer(tokens: TokenSet) -> Answer:
    """Answer of `headrace tokenize`."""
    return {
        "output": tokens.folder,
        "tokens": tokens.tokens,
        "heldout_tokens": tokens.heldout_tokens,
        "vocabulary": tokens.vocabulary,
        "sequence_length": tokens.sequence_length,
        "release_id": tokens.release_id,
        "reused": tokens.reused,
    }


def model_answer(model: Model) -> Answer:
    """Answer of `headrace pretrain` or `align`."""
    answer: Answer = {"export": model.export}
    if model.pretraining:
        answer |= model.pretraining.as_json()
    if model.gain:
        answer |= {"stage": model.stage, "metrics": model.gain.as_json()}
    return {**answer, "run_id": model.run_id}


def evaluation_answer(evaluation: Evaluation) -> Answer:
    """Answer of `headrace evaluate`."""
    return {
        "model": evaluation.export,
        "metrics": evaluation.figures(),
        "file": evaluation.path,
        "run_id": evaluation.run_id,
    }


def scores_answer(evaluation: Evaluation) -> Answer:
    """Return an evaluation as a part of the answer of `headrace run`."""
    of: Answer = {"of": evaluation.of} if evaluation.of else {}
    return {"metrics": evaluation.figures(), "documents": relative(evaluation.documents), **of}


def gate_answer(gated: Gated) -> Answer:
    """Answer of `headrace gate`."""
    return {**decision_answer(gated.decision), "run_id": gated.run_id}


def validation_answer(release: Release, expectations: int) -> Answer:
    """Answer of `headrace validate`, where all expectations hold."""
    return {
        "release": release.folder,
        "release_id": release.id,
        "success": True,
        "expectations": expectations,
    }
