"""The chain's report: one page from what came in to what the retraining did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from pydantic import ValidationError

from headrace.expectations import drift_report
from headrace.expectations.drift_report import DriftView
from headrace.infra import html, storage
from headrace.infra.corpora import BASE, WINDOW
from headrace.infra.html import Cell
from headrace.infra.plots import color, plot
from headrace.spark_jobs.curate.release_report import ReleaseFigures, ReleaseView
from headrace.tasks.chain_figures import ChainFigures, Evaluation
from headrace.tasks.curves import StagePlot, stage_plots
from headrace.tasks.models.samples import PROMPTS, generate_samples
from headrace.tasks.models.stage_metrics import measured_by, verdict
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
def write_report(answer: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the page and its figures; return the answer with `report`, the path of the page."""
    report = folder / "report.html"
    figures = ChainFigures.model_validate(answer)
    texts = {stage: generate_samples(export) for stage, export in figures.exports.items()}
    storage.write_bytes(report, render(figures, texts).encode())
    answer = {**answer, "report": str(report)}
    storage.write_json(folder / "answer.json", json.loads(json.dumps(answer, default=str)))
    return answer


def render(figures: ChainFigures, texts: Mapping[str, Sequence[str]]) -> str:
    """Return the page as HTML text.

    Args:
        figures: what the chain came to.
        texts: {stage: what its model continues each of `PROMPTS` with}.
    """
    return html.page(
        "chain.html.j2",
        "headrace: the whole chain",
        f"release {figures.release_id}, {figures.total_parameters / 1e6:.2f} M parameters",
        chain=ChainView.of(figures, texts),
    )


@dataclass(frozen=True)
class ChainView:
    """What the template `chain.html.j2` lays out."""

    figures: ChainFigures
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
    def of(cls, figures: ChainFigures, texts: Mapping[str, Sequence[str]]) -> ChainView:
        """Return the figures in rows, the plots of each stage and the models' samples."""
        verdicts = {stage: verdict(gain) for stage, gain in figures.alignment.items()}
        again = figures.round
        drift = drift_report.stored(again.drift) if again and again.drift else None
        return cls(
            figures=figures,
            release=_release(figures.release),
            first_gate=GateView.of(figures.gate),
            pretraining=stage_plots("pretrain", Path(figures.pretrain.export).parent),
            quality=_quality(figures.evaluation),
            quality_plot=plot(partial(_draw_quality, figures.evaluation), height=2.3),
            models=list(_MODELS.values()),
            evaluated_bytes=EvaluateSettings().max_bytes,
            gains=[
                (stage, measured_by(m.name), m.before, m.after, m.gain, m.low, m.high,
                 verdicts[stage], m.n)
                for stage, m in figures.alignment.items()
            ],
            not_better=[(stage, v) for stage, v in verdicts.items() if v != "better"],
            alignment={
                stage: stage_plots(stage, Path(figures.stages[stage].export).parent)
                for stage in figures.alignment
            },
            drift=DriftView.of(drift) if drift else None,
            retraining=_retraining(figures),
            retraining_plots=stage_plots("ewc", again.folder) if again and again.folder else [],
            second_gate=GateView.of(again.gate) if again and again.gate else None,
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


def _quality(evaluation: Mapping[str, Evaluation]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for name, aligned in evaluation["aligned"].metrics.items():
        models = [evaluation[key].metrics.get(name) for key in _MODELS]
        values = [m.value if m else None for m in models]
        rows.append((name.partition(".")[2] or "all", aligned.n, *values))
    return rows


def _draw_quality(evaluation: Mapping[str, Evaluation], axes: Axes) -> None:
    for i, (key, label) in enumerate(_MODELS.items()):
        metric = evaluation[key].bits_per_byte
        axes.barh(i, metric.value, color=color("blue" if "MoE" in label else "grey"))
        end = metric.value
        if metric.low is not None and metric.high is not None:
            end = metric.high
            axes.plot([metric.low, end], [i, i], color=color("ink"), lw=2)
        axes.text(end + 0.04, i, f"{metric.value:.3f}", va="center", fontsize=9)
    axes.set_yticks(range(len(_MODELS)), list(_MODELS.values()), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("bits per byte on held-out documents (lower is better)", fontsize=9)


def _retraining(figures: ChainFigures) -> list[tuple[Cell, ...]]:
    if not figures.round or not figures.round.metrics:
        return []
    metrics = figures.round.metrics
    return [
        (
            f"{side} text",
            m.before,
            m.after,
            m.after - m.before,
            m.plain,
            None if m.plain is None else m.plain - m.before,
        )
        for side, m in (("new", metrics.new), ("old", metrics.old))
    ]
