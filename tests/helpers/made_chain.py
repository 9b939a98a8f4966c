"""A chain that is made of figures alone: no stage ran, and no metrics.jsonl is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headrace.infra.artifacts import (
    Change,
    Decision,
    Evaluation,
    Figure,
    Gain,
    Model,
    Pretraining,
    Release,
    Retraining,
    TokenSet,
    Totals,
)
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.gate.contests import Quality
from headrace.tasks.gate.evaluation import Baselines
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.models.alignment import Aligned, AlignmentData
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding
from headrace.training.scoring.gate import Evidence, Sample, decide
from headrace.training.scoring.policy import read_policy

TOTALS = Totals(read=7, kept=5, rejected={"bias": 1}, unreadable=1)
GAIN = Gain(name="gold_pass", before=0.5, after=0.7, gain=0.2, low=0.1, high=0.3)
BITS = Figure(value=2.0, low=1.9, high=2.1, n=300)
PLAIN = Figure(value=3.0, low=None, high=None, n=3)


def decision() -> Decision:
    """Return a gate's decision on four documents."""
    ids, sizes = tuple("abcd"), np.full(4, 100.0)
    old = {"old.bits_per_byte": Sample(ids, 2 * sizes, sizes)}
    champion, challenger = Evidence("base <i>", old), Evidence("next", old)
    return decide(champion, challenger, read_policy("first"), seed=1).at("/d", "decision.json")


def chain(folder: Path) -> Lifecycle:
    """Return a chain without a round, whose folders lie in `folder`."""
    gains = {"sft": GAIN.model_copy(update={"low": -0.1}), "reward": None, "ppo": GAIN}
    stages = {s: Model(stage=s, folder=str(folder / s), gain=g) for s, g in gains.items()}
    pretraining = Pretraining(
        steps=1200, tokens=2500, loss=2.0, tokens_per_second=3427.5, total_parameters=1_842_560,
        active_parameters=957_824,
    )  # fmt: skip
    sliced = {"bits_per_byte": BITS, "bits_per_byte.lang=zh": BITS}
    plain = {"bits_per_byte": PLAIN}
    return Lifecycle(
        release=Release(id="r1", folder=str(folder), totals=TOTALS, input_bytes=2_000_000),
        tokens=TokenSet(
            release_id="r1", tokens=1000, heldout_tokens=9, vocabulary=9, sequence_length=9,
            files=(),
        ),
        base=Model(stage="pretrain", folder=str(folder / "p"), pretraining=pretraining),
        aligned=Aligned(stages, AlignmentData(release_id="r1", counts={})),
        quality=Quality(
            Evaluation(metrics={"bits_per_byte": BITS}),
            Evaluation(metrics=sliced),
            Baselines(metrics={"unigram": plain, "kneser_ney_bigram": plain}),
            began=0,
        ),
        first=Gated(decision(), "promote", ("holds",), "run", "1", "1"),
        again=None,
        seconds=1.0,
    )  # fmt: skip


def refused_round(release: Release) -> Retrained:
    """Return a round whose model the gate refused."""
    changes = {
        "new": Change(before=2.5, after=2.25, plain=2.0), "old": Change(before=2.5, after=2.25)
    }  # fmt: skip
    retraining = Retraining(steps=1, tokens=1, metrics=changes, judged_on="")
    folder = str(Path(release.folder, "ewc"))
    trained = Model(stage="ewc", folder=folder, retraining=retraining)
    gated = Gated(decision(), "reject", ("worse",), "run", "3", "2")
    return Retrained(Finding(drift=True), "2", release, trained, gated)
