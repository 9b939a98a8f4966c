"""Plots as inline SVG, in one style: the same bytes for the same data."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = {
    "ink": "#1f2933",
    "muted": "#6b7785",
    "line": "#d9dee5",
    "blue": "#2f6fb3",
    "green": "#2e8b57",
    "red": "#c0392b",
    "amber": "#c98a1b",
    "violet": "#7a5aa6",
    "teal": "#2a8c93",
    "grey": "#9aa5b1",
}
CYCLE = ("blue", "amber", "green", "red", "violet", "teal", "grey")


def color(name: str) -> str:
    """Return a color of the palette as #rrggbb."""
    return PALETTE[name]


def plot(draw: Callable[[Axes], None], width: float = 7.2, height: float = 3.0) -> Markup:
    """Return what `draw` does on one matplotlib Axes, as SVG."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots()
    style(axes)
    draw(axes)
    return svg(fig)


def style(axes: Axes) -> None:
    """Give matplotlib Axes the style of all plots."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALETTE["line"])
    axes.tick_params(colors=PALETTE["muted"], labelsize=8.5)
    axes.grid(axis="y", color="#eef1f4")
    axes.set_axisbelow(True)
    axes.set_prop_cycle(color=[PALETTE[c] for c in CYCLE])


def svg(fig: Figure) -> Markup:
    """Return a matplotlib Figure as SVG without metadata."""
    import matplotlib

    out = io.StringIO()
    # Text stays text: small, searchable, and drawn in the reader's fonts (Chinese too).
    with matplotlib.rc_context(
        {"svg.hashsalt": "headrace", "svg.fonttype": "none", "font.family": "sans-serif"}
    ):
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawn = re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.S)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)
    return Markup(drawn)  # nosec B704 # matplotlib escapes the text that it draws


def as_files(plots: Iterable[tuple[str, Markup]]) -> dict[str, str]:
    """Return {file name: SVG} of titled plots."""
    out: dict[str, str] = {}
    for title, drawn in plots:
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "plot"
        number = 1 + sum(re.fullmatch(rf"{name}(-\d+)?\.svg", known) is not None for known in out)
        out[f"{name}.svg" if number == 1 else f"{name}-{number}.svg"] = f"{drawn.rstrip()}\n"
    return out
