"""What verbs answer under --json: the keys of the contract, and the values of typed results."""

from pathlib import Path

from headrace.infra.artifacts import (
    Evaluation,
    Figure,
    Gain,
    Model,
    Pretraining,
    Release,
    TokenSet,
    Totals,
)
from headrace.tasks.answers import (
    evaluation_answer,
    model_answer,
    release_answer,
    scores_answer,
    tokens_answer,
    validation_answer,
)

TOTALS = Totals(read=9, kept=7, rejected={"format": 1}, unreadable=1)
RELEASE = Release(id="abc", folder="/r/abc", totals=TOTALS, input_bytes=50)


def test_curation_answers_with_its_counts() -> None:
    none = {"count": 0, "first": []}
    assert release_answer(RELEASE, 1.26) == {
        "release": "/r/abc", "release_id": "abc", "read": 9, "kept": 7, "rejected": {"format": 1},
        "unreadable": 1, "repaired": 0, "input_bytes": 50, "unreadable_files": none,
        "noted_files": none, "left_out": none, "seconds": 1.3,
    }  # fmt: skip
    assert validation_answer(RELEASE, 60)["expectations"] == 60


def test_tokens_answer_with_their_numbers() -> None:
    tokens = TokenSet(
        folder="/t", release_id="abc", tokens=9, heldout_tokens=2, vocabulary=50,
        sequence_length=8, files=(),
    )  # fmt: skip
    assert tokens_answer(tokens) == {
        "output": "/t", "tokens": 9, "heldout_tokens": 2, "vocabulary": 50, "sequence_length": 8,
        "release_id": "abc", "reused": True,
    }  # fmt: skip


def test_training_answers_with_all_of_its_figures() -> None:
    figures = {
        "steps": 5, "tokens": 90, "loss": 2.5, "tokens_per_second": 7.0, "total_parameters": 30,
        "active_parameters": 20, "resumed_from": 0, "identity": "x", "heldout_loss": 2.6,
    }  # fmt: skip
    base = Model(stage="pretrain", folder="/m", pretraining=Pretraining.model_validate(figures))
    assert model_answer(base) == {"export": "/m/export", **figures, "run_id": None}
    gain = {"name": "gold_pass", "before": 0.1, "after": 0.2, "kl": 0.3}
    aligned = Model(stage="ppo", folder="/p", gain=Gain.model_validate(gain), run_id="7")
    assert model_answer(aligned) == {
        "export": "/p/export", "stage": "ppo", "metrics": gain, "run_id": "7"
    }  # fmt: skip


def test_evaluation_answers_with_metrics_and_where_they_are(state: Path) -> None:
    figure = {"value": 2.0, "low": None, "high": None, "n": 3}
    evaluation = Evaluation(
        metrics={"bits_per_byte": Figure.model_validate(figure)}, export="/m/export",
        folder=str(state / "runs" / "evaluate-1"), record="metrics.json", of="ppo-1",
    )  # fmt: skip
    assert evaluation_answer(evaluation) == {
        "model": "/m/export", "metrics": {"bits_per_byte": figure},
        "file": str(state / "runs" / "evaluate-1" / "metrics.json"), "run_id": None,
    }  # fmt: skip
    scores = scores_answer(evaluation)
    assert scores["documents"] == "runs/evaluate-1/documents.parquet" and scores["of"] == "ppo-1"
