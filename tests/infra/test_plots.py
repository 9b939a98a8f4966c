from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.infra.plots import as_files, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCRIPT = "<script>alert(1)</script>"


def test_a_plot_is_the_same_bytes_and_loads_nothing() -> None:
    def draw(axes: Axes) -> None:
        axes.bar(["中文", SCRIPT], [1, 2])

    one, two = plot(draw), plot(draw)
    assert one == two and "<script" not in one and one.startswith("<svg")
    assert 'href="http' not in one and "<image" not in one


def test_plots_of_one_title_are_files_of_their_own() -> None:
    svg = plot(lambda axes: None)
    found = as_files([("Loss: old", svg), ("Loss: old", svg), ("Loss", svg)])
    assert list(found) == ["loss-old.svg", "loss-old-2.svg", "loss.svg"]
    assert all(svg.startswith("<svg") and svg.endswith("</svg>\n") for svg in found.values())
