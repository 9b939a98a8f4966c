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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, float | str | bool | None]
"""A line of a metrics.jsonl: the step, and figures of it."""


@dataclass(frozen=True)
class Curve:
    """One plot over the steps of a stage."""

    title: str
    keys: dict[str, str]
    """Key in metrics.jsonl: what the legend calls it."""
    ylabel: str
    caption: str = ""


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
    "sft": (
        Curve(
            "loss",
            {"loss": "responses", "language_loss": "replayed pretraining text"},
            "nats per token",
        ),
    ),
    "reward": (Curve("loss", {"loss": "loss"}, "contrastive loss"),),
    "ppo": (
        Curve(
            "reward and kl",
            {"reward": "reward model", "kl": "KL to the SFT policy"},
            "per response",
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
"""Plots of each stage, the most telling first."""


@dataclass(frozen=True)
class StagePlot:
    """A curve as it is drawn."""

    title: str
    svg: Markup
    caption: str


def plotted(stage: str) -> set[str]:
    """Return the keys of metrics.jsonl that the plots of a stage show."""
    return {key for curve in CURVES.get(stage, ()) for key in curve.keys}


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a metrics.jsonl, none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def stage_plots(stage: str, folder: str | Path) -> list[StagePlot]:
    """Return the plots of a stage, from its run folder.

    Args:
        stage: one of `CURVES`; any other has no plots.
        folder: the run folder, with metrics.jsonl.
    """
    lines = read_lines(Path(folder) / "metrics.jsonl")
    return [
        StagePlot(c.title, plot(partial(_draw, lines, c)), c.caption) for c in CURVES.get(stage, ())
    ]


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
