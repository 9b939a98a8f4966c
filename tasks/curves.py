"""The curves of each stage of training, as the reports and MLflow show them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from headrace.infra.plots import as_files, plot
from headrace.training.curves import Curve
from headrace.training.rlhf.stages import STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, float | str | bool | None]
"""A line of a metrics.jsonl: the step, and figures of it."""


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
    """Return the plots of a stage; none of one that isn't trained."""
    return STAGES[stage].curves if stage in STAGES else CURVES.get(stage, ())


@dataclass(frozen=True)
class StagePlot:
    """A curve as it is drawn."""

    title: str
    svg: Markup
    caption: str


def plotted(stage: str) -> set[str]:
    """Return the keys of metrics.jsonl that the plots of a stage show."""
    return {key for curve in curves_of(stage) for key in curve.keys}


def read_lines(path: Path) -> list[Line]:
    """Read the lines of a metrics.jsonl, none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def stage_plots(stage: str, folder: str | Path) -> list[StagePlot]:
    """Return the plots of a stage, from its run folder.

    Args:
        stage: a stage of training; any other has no plots.
        folder: the run folder, with metrics.jsonl.
    """
    lines = read_lines(Path(folder) / "metrics.jsonl")
    return [StagePlot(c.title, plot(partial(_draw, lines, c)), c.caption) for c in curves_of(stage)]


def stage_drawings(stage: str, folder: str | Path) -> dict[str, str]:
    """Return {file name: SVG} of the same plots."""
    return as_files((p.title, p.svg) for p in stage_plots(stage, folder))


def _draw(lines: Sequence[Line], curve: Curve, axes: Axes) -> None:
    for key, label in curve.keys.items():
        points = [(x["step"], v) for x in lines if isinstance(v := x.get(key), int | float)]
        if points:
            marker = "o" if len(points) < 40 else None
            axes.plot(*zip(*points, strict=True), label=label, lw=1.3, marker=marker, ms=3)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(curve.ylabel, fontsize=9)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8.5)
