"""The chain's report: one page from what came in to what the retraining did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup
from pydantic import ValidationError

from headrace.expectations import drift_report
from headrace.expectations.drift_report import DriftView
from headrace.infra import html, storage
from headrace.infra.artifacts import Change, Evaluation
from headrace.infra.corpora import BASE, WINDOW
from headrace.infra.html import Cell
from headrace.infra.plots import color, plot
from headrace.spark_jobs.curate.release_report import ReleaseFigures, ReleaseView
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.curves import StagePlot, stage_plots
from headrace.tasks.models.samples import PROMPTS, generate_samples
from headrace.tasks.models.stage_metrics import measured_by, verdict
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.task import step
from headrace.training.scoring.gate_report import GateView
from headrace.training.settings import EvaluateSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODELS = {
    "unigram": "unigram",
    "kneser_ney_bigram": "Kneser-Ney bigram",
    "pretrained": "MoE, pretrained",
    "aligned": "MoE, aligned",
}


@step("write report")
def write_report(made: Lifecycle, folder: Path) -> Lifecycle:
    """Write the page of a chain and its answer; return the chain with `report`."""
    report = folder / "report.html"
    texts = {stage: generate_samples(export) for stage, export in made.exports.items()}
    storage.write_bytes(report, render(made, texts).encode())
    made = replace(made, report=str(report))
    storage.write_json(folder / "answer.json", made.as_json())
    return made


def render(made: Lifecycle, texts: Mapping[str, Sequence[str]]) -> str:
    """Return the page as HTML text.

    Args:
        made: what the chain made.
        texts: {stage: what its model continues each of `PROMPTS` with}.
    """
    return html.page(
        "chain.html.j2",
        "headrace: the whole chain",
        f"release {made.release.id}, {made.pretraining.total_parameters / 1e6:.2f} M parameters",
        chain=ChainView.of(made, texts),
    )


@dataclass(frozen=True)
class ChainView:
    """What the template `chain.html.j2` lays out."""

    made: Lifecycle
    scores: Mapping[str, Evaluation]
    """Of the models and the baselines."""
    release: ReleaseView | None
    """None where an earlier version of headrace made it: its own report shows more."""
    first_gate: GateView
    pretraining: list[StagePlot]
    quality: list[tuple[Cell, ...]]
    """Per slice: name, n, bits per byte of each model."""
    quality_plot: Markup
    models: list[str]
    evaluated_bytes: int
    gains: list[tuple[Cell, ...]]
    not_better: list[tuple[str, str]]
    """Stages of alignment whose interval shows no gain: (stage, verdict)."""
    alignment: dict[str, list[StagePlot]]
    drift: DriftView | None
    retraining: list[tuple[Cell, ...]]
    retraining_plots: list[StagePlot]
    second_gate: GateView | None
    samples: list[tuple[str, list[tuple[str, str]]]]
    """Per prompt: (stage, what its model continued with)."""
    sources: list[tuple[Cell, ...]]

    @classmethod
    def of(cls, made: Lifecycle, texts: Mapping[str, Sequence[str]]) -> ChainView:
        """Return the figures in rows, the plots of each stage and the models' samples."""
        verdicts = {stage: verdict(gain) for stage, gain in made.gains.items()}
        scores, again = made.quality.evaluations(), made.again
        trained, gated = (again.trained, again.gated) if again else (None, None)
        return cls(
            made=made,
            scores=scores,
            release=_release(made.release.folder),
            first_gate=GateView.of(made.first.decision),
            pretraining=stage_plots("pretrain", made.base.folder),
            quality=_quality(scores),
            quality_plot=plot(partial(_draw_quality, scores), height=2.3),
            models=list(_MODELS.values()),
            evaluated_bytes=EvaluateSettings().max_bytes,
            gains=[
                (stage, measured_by(m.name), m.before, m.after, m.gain, m.low, m.high,
                 verdicts[stage], m.n)
                for stage, m in made.gains.items()
            ],
            not_better=[(stage, v) for stage, v in verdicts.items() if v != "better"],
            alignment={
                stage: stage_plots(stage, made.aligned.stages[stage].folder)
                for stage in made.gains
            },
            drift=_drift(again.finding) if again and again.finding else None,
            retraining=_retraining(again.changes) if again else [],
            retraining_plots=stage_plots("ewc", trained.folder) if trained else [],
            second_gate=GateView.of(gated.decision) if gated else None,
            samples=[
                (prompt, [(stage, answers[i]) for stage, answers in texts.items()])
                for i, prompt in enumerate(PROMPTS)
            ],
            sources=[(c.package, c.version, c.about, c.licence) for c in (*BASE, WINDOW)],
        )  # fmt: skip


def _release(folder: str) -> ReleaseView | None:
    try:
        stored = storage.read_bytes(storage.join(folder, "report.json"))
        return ReleaseView.of(ReleaseFigures.model_validate_json(stored))
    except ValidationError:
        return None


def _drift(finding: Finding) -> DriftView | None:
    if not isinstance(finding.sections, str):
        return None
    found = drift_report.stored(finding.sections)
    return DriftView.of(found) if found else None


def _quality(evaluation: Mapping[str, Evaluation]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for name, aligned in evaluation["aligned"].metrics.items():
        models = [evaluation[key].metrics.get(name) for key in _MODELS]
        values = [m.value if m else None for m in models]
        rows.append((name.partition(".")[2] or "all", aligned.n, *values))
    return rows


def _draw_quality(evaluation: Mapping[str, Evaluation], axes: Axes) -> None:
    for i, (key, label) in enumerate(_MODELS.items()):
        metric = evaluation[key].bits
        value = end = math.nan if metric.value is None else metric.value
        axes.barh(i, value, color=color("blue" if "MoE" in label else "grey"))
        if metric.low is not None and metric.high is not None:
            end = metric.high
            axes.plot([metric.low, end], [i, i], color=color("ink"), lw=2)
        axes.text(end + 0.04, i, f"{value:.3f}", va="center", fontsize=9)
    axes.set_yticks(range(len(_MODELS)), list(_MODELS.values()), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("bits per byte on held-out documents (lower is better)", fontsize=9)


def _retraining(changes: Mapping[str, Change]) -> list[tuple[Cell, ...]]:
    return [
        (
            f"{side} text",
            m.before,
            m.after,
            m.after - m.before,
            m.plain,
            None if m.plain is None else m.plain - m.before,
        )
        for side, m in changes.items()
    ]
