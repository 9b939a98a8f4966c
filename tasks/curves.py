"""The curves of each stage of training, as the reports and MLflow show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headrace.infra import html
from headrace.infra.html import Section
from headrace.training.curves import Curve
from headrace.training.rlhf.stages import STAGES

Lines = list[dict[str, Any]]


CURVES: dict[str, tuple[Curve, ...]] = {
    "pretrain": (
        Curve(
            "loss", {"loss": "training batch", "heldout_loss": "held-out rows"}, "nats per token"
        ),
        Curve(
            "expert load",
            {"expert_load": "busiest expert / mean"},
            "load",
            "Expert load: 1 is perfect balance; the routers' biases are moved, no auxiliary loss.",
        ),
    ),
    "ewc": (
        Curve(
            "loss",
            {"new_loss": "new text", "replay_loss": "replayed old text"},
            "nats per token",
            "Loss of incremental training.",
        ),
    ),
}
"""Plots of the trainings that are no stage of alignment, the most telling first."""


def curves_of(stage: str) -> tuple[Curve, ...]:
    """The plots of a stage; none of one that isn't trained."""
    return STAGES[stage].curves if stage in STAGES else CURVES.get(stage, ())


def plotted(stage: str) -> set[str]:
    """Keys of metrics.jsonl that the plots of a stage show."""
    return {key for curve in curves_of(stage) for key in curve.keys}


def read_lines(path: Path) -> Lines:
    """The lines of a metrics.jsonl, none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def stage_plots(stage: str, folder: str | Path, first: str = "") -> list[Markup]:
    """The plots of a stage, from its run folder.

    Args:
        stage: a stage of training; any other has no plots.
        folder: the run folder, with metrics.jsonl.
        first: caption of the first plot.
    """
    lines = read_lines(Path(folder) / "metrics.jsonl")
    captions = [first] if first else []
    curves = curves_of(stage)
    captions += [c.caption for c in curves[len(captions) :]]
    return [_plot(lines, c, caption) for c, caption in zip(curves, captions, strict=True)]


def stage_drawings(stage: str, folder: str | Path) -> dict[str, str]:
    """{file name: SVG} of the same plots."""
    curves = curves_of(stage)
    plots = stage_plots(stage, folder)
    return html.drawings(Section(c.title, p) for c, p in zip(curves, plots, strict=True))


def _plot(lines: Lines, curve: Curve, caption: str) -> Markup:
    def draw(axes: Any) -> None:
        for key, label in curve.keys.items():
            found = [(x["step"], x[key]) for x in lines if isinstance(x.get(key), int | float)]
            if found:
                few = len(found) < 40
                axes.plot(*zip(*found, strict=True), label=label, lw=1.3,
                          marker="o" if few else None, ms=3)  # fmt: skip
        axes.set_xlabel("step", fontsize=9)
        axes.set_ylabel(curve.ylabel, fontsize=9)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8.5)

    return html.plot(draw, caption)
