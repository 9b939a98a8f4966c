import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headrace.tasks.curves import (
    CURVES,
    curves_of,
    plotted,
    read_lines,
    stage_drawings,
    stage_plots,
)
from headrace.training.rlhf.stages import STAGES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [{"step": i, "loss": 3 - i / 10, "expert_load": 1.5} for i in range(1, 9)]
    lines[-1]["heldout_loss"] = 2.5
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return tmp_path


def test_a_stage_has_its_plots_and_captions(folder: Path) -> None:
    loss, load = stage_plots("pretrain", folder)
    assert "held-out rows" in loss.svg and "perfect balance" in load.caption
    assert stage_plots("gate", folder) == []


def test_drawings_are_pictures_of_their_own(folder: Path) -> None:
    found = stage_drawings("pretrain", folder)
    assert list(found) == ["loss.svg", "expert-load.svg"]
    for svg in found.values():
        assert svg.startswith("<svg") and svg.endswith("</svg>\n")
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert found == stage_drawings("pretrain", folder), "the same bytes for the same figures"


@pytest.mark.parametrize("stage", [*CURVES, *STAGES])
def test_the_stage_itself_is_held_to_write_what_its_plots_ask_for(stage: str) -> None:
    """By the test of the stage, which has a metrics.jsonl of a real run."""
    tests = (Path(__file__).parents[1] / "training").rglob("test_*.py")
    assert plotted(stage)
    assert any(f'plotted("{stage}")' in path.read_text() for path in tests)


@pytest.mark.parametrize("stage", [*CURVES, *STAGES])
def test_a_stage_without_figures_still_draws(stage: str, tmp_path: Path) -> None:
    assert read_lines(tmp_path / "metrics.jsonl") == []
    assert len(stage_drawings(stage, tmp_path)) == len(curves_of(stage))
